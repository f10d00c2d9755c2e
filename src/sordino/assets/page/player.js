// Players of one recording in several versions. One version sounds, the switch says which, and the position stays.
// Works on every element of class "player", there from the start or put in later; see report/pages/listen.py for its parts.
(() => {
  "use strict";

  let count = 0;
  const STEPS = { ArrowLeft: -1, ArrowDown: -1, PageDown: -4, ArrowRight: 1, ArrowUp: 1, PageUp: 4 };
  const seconds = (value) => (Number.isFinite(value) ? value : 0);
  const clock = (value) => `${Math.floor(value / 60)}:${String(Math.floor(value % 60)).padStart(2, "0")}`;

  function start(player) {
    const sounds = [...player.querySelectorAll("audio")];
    const switches = [...player.querySelectorAll(".switch input")];
    const figures = [...player.querySelectorAll("figure")];
    const [play, position, time] = [".play", ".position", ".time"].map((part) => player.querySelector(part));
    let current = sounds[0];
    let wanted = false; // whether it is to play; an element says so only once it does

    function show() {
      const [now, all] = [seconds(current.currentTime), seconds(current.duration)];
      position.max = all;
      position.value = now;
      time.setAttribute("aria-live", "off");
      time.textContent = `${clock(now)} / ${clock(all)}`;
      position.setAttribute("aria-valuetext", time.textContent);
      play.textContent = wanted ? "Pause" : "Play";
      figures.forEach((figure, index) => figure.classList.toggle("playing", sounds[index] === current));
    }

    function silenceOthers() {
      sounds.forEach((sound) => sound !== current && sound.pause());
    }

    function sound() {
      wanted = true;
      document.dispatchEvent(new CustomEvent("sordino-plays", { detail: player }));
      // The version before sounds until this one does: no gap. A switch made meanwhile aborts this one's start.
      current.play().then(silenceOthers, (error) => error.name === "AbortError" || fail());
      show();
    }

    function pause() {
      wanted = false;
      sounds.forEach((one) => one.pause());
      show();
    }

    function fail() {
      pause();
      time.setAttribute("aria-live", "assertive"); // otherwise it changes all the time
      time.textContent = "This browser cannot play the sound.";
    }

    function choose(index) {
      const at = current.currentTime;
      current = sounds[index];
      current.currentTime = at;
      if (wanted) sound();
      else show();
    }

    count += 1;
    switches.forEach((one, index) => {
      one.name = `player-${count}`;
      one.addEventListener("change", () => choose(index));
    });
    sounds.forEach((one) => {
      one.controls = false; // they are for pages where no script runs
      one.addEventListener("ended", () => one === current && pause());
      ["timeupdate", "durationchange", "seeked"].forEach((event) => one.addEventListener(event, show));
    });
    play.addEventListener("click", () => (wanted ? pause() : sound()));
    position.addEventListener("input", () => {
      current.currentTime = Number(position.value);
    });
    // By itself a slider moves by its step, 0.01 s. A key moves it by a twentieth of the recording, or 5 s.
    position.addEventListener("keydown", (event) => {
      const all = seconds(current.duration);
      if (!STEPS[event.key] || !all) return;
      event.preventDefault();
      const to = current.currentTime + STEPS[event.key] * Math.min(5, all / 20);
      current.currentTime = Math.min(Math.max(to, 0), all);
    });
    document.addEventListener("sordino-plays", function other(event) {
      if (event.detail === player) return;
      pause();
      if (!player.isConnected) document.removeEventListener("sordino-plays", other);
    });
    player.querySelector(".controls").hidden = false;
    show();
  }

  function scan() {
    document.querySelectorAll(".player:not([data-ready])").forEach((player) => {
      player.dataset.ready = "";
      start(player);
    });
  }

  // A sound that is taken off the page would play on.
  function silence(node) {
    if (node.querySelectorAll) node.querySelectorAll("audio").forEach((sound) => sound.pause());
  }

  new MutationObserver((changes) => {
    changes.forEach((change) => change.removedNodes.forEach(silence));
    scan();
  }).observe(document, { childList: true, subtree: true });
  document.addEventListener("DOMContentLoaded", scan);
})();

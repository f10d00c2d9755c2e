// Says on the page why no sound comes from the microphone; Gradio tells some of the reasons to the console alone.
(() => {
  "use strict";
  const devices = navigator.mediaDevices;
  if (!devices) return; // a page from another machine without encryption; the browser offers no microphone then

  const REASONS = {
    NotAllowedError: "The microphone may not be used: allow it for this page in the browser, or drop a file.",
    NotFoundError: "There is no microphone: plug one in, or drop a file.",
  };
  const OTHER = "The microphone gives no sound: is another program using it?";

  function tell(sentence) {
    document.querySelectorAll(".no-microphone").forEach((place) => {
      place.hidden = !sentence;
      place.textContent = sentence;
      if (sentence) place.scrollIntoView({ block: "nearest" });
    });
  }

  const ask = devices.getUserMedia.bind(devices);
  devices.getUserMedia = async (wanted) => {
    try {
      const sound = await ask(wanted);
      tell("");
      return sound;
    } catch (error) {
      tell(REASONS[error.name] || OTHER);
      throw error;
    }
  };
})();

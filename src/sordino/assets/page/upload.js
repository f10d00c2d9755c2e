// Gradio's field for sound takes what the browser calls audio. Films have sound too, and some formats have no type in a
// browser: all files are handed on as audio, and the server says what it cannot read.
(() => {
  "use strict";
  const ours = new WeakSet(); // events that are made here

  function asAudio(files) {
    const all = new DataTransfer();
    [...files].forEach((file) => {
      const known = file.type.startsWith("audio/");
      all.items.add(known ? file : new File([file], file.name, { type: "audio/unknown" }));
    });
    return all;
  }

  const isFileField = (element) => element instanceof HTMLInputElement && element.type === "file";

  // Before Gradio, which listens at the elements themselves.
  document.addEventListener("click", ({ target }) => isFileField(target) && target.removeAttribute("accept"), true);
  document.addEventListener("change", ({ target }) => isFileField(target) && (target.files = asAudio(target.files).files), true);
  document.addEventListener(
    "drop",
    (event) => {
      const files = event.dataTransfer ? event.dataTransfer.files : [];
      if (!files.length || ours.has(event)) return;
      event.preventDefault();
      event.stopImmediatePropagation();
      const again = new DragEvent("drop", { bubbles: true, cancelable: true, dataTransfer: asAudio(files) });
      ours.add(again);
      event.target.dispatchEvent(again);
    },
    true,
  );
})();

// What is shown once (codes, links) can be copied and printed. Without this file the buttons stay hidden, and one marks
// and copies by hand.
"use strict";

(() => {
  for (const button of document.querySelectorAll("[data-copy]")) {
    // Browsers have a clipboard for https and for this very machine only.
    if (!navigator.clipboard) continue;
    const said = document.getElementById(`${button.dataset.copy}-copied`);
    button.hidden = false;
    button.addEventListener("click", async () => {
      const shown = document.getElementById(button.dataset.copy);
      const lines = shown.children.length ? [...shown.children] : [shown];
      try {
        await navigator.clipboard.writeText(lines.map((line) => line.textContent.trim()).join("\n"));
        said.textContent = button.dataset.done;
      } catch {
        said.textContent = button.dataset.failed;
      }
    });
  }
  for (const button of document.querySelectorAll("[data-print]")) {
    button.hidden = false;
    button.addEventListener("click", () => window.print());
  }
})();

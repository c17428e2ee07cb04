// Sends dropped or chosen files to the console, one by one, then asks for a confirmation of the commit.
"use strict";
document.addEventListener("DOMContentLoaded", () => {
  const zone = document.querySelector("[data-tray]");
  if (!zone) return;
  const input = zone.querySelector("input[type=file]");
  const folder = zone.querySelector("input[name=folder]");
  const said = zone.querySelector("[role=status]");
  const { tray, check, upload, next } = zone.dataset;

  async function send(files) {
    let done = 0;
    for (const file of files) {
      said.textContent = `Sending ${done + 1} of ${files.length}: ${file.name}`;
      const address = `${upload}?tray=${encodeURIComponent(tray)}&name=${encodeURIComponent(file.name)}`;
      let reply;
      try {
        reply = await fetch(address, { method: "POST", body: file, headers: { "X-Check": check } });
      } catch (error) {
        said.textContent = `${file.name} could not be sent: ${error.message}. Try again.`;
        return;
      }
      if (!reply.ok) {
        said.textContent = `${file.name} could not be sent: ${await reply.text()}`;
        return;
      }
      done += 1;
    }
    if (done) location.href = `${next}&folder=${encodeURIComponent(folder.value)}`;
  }

  input.addEventListener("change", () => send([...input.files]));
  zone.addEventListener("dragover", (event) => { event.preventDefault(); zone.classList.add("over"); });
  zone.addEventListener("dragleave", () => zone.classList.remove("over"));
  zone.addEventListener("drop", (event) => {
    event.preventDefault();
    zone.classList.remove("over");
    send([...event.dataTransfer.files]);
  });
});

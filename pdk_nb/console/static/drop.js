// Two places take files, dropped or chosen: one sends them all for a commit, the other asks a service about one picture.
"use strict";
document.addEventListener("DOMContentLoaded", () => {
  const zone = document.querySelector("[data-tray], [data-ask]");
  if (!zone) return;
  const said = zone.querySelector("[role=status]");
  const { tray, ask, check, upload, next } = zone.dataset;

  // The console's answer to a posted file; null, with the reason shown, if there is none.
  async function post(address, file) {
    try {
      return await fetch(address, { method: "POST", body: file, headers: { "X-Check": check } });
    } catch (error) {
      said.textContent = `${file.name} could not be sent: ${error.message}. Try again.`;
      return null;
    }
  }

  async function fill(files) {
    for (const [done, file] of files.entries()) {
      said.textContent = `Sending ${done + 1} of ${files.length}: ${file.name}`;
      const address = `${upload}?tray=${encodeURIComponent(tray)}&name=${encodeURIComponent(file.name)}`;
      const reply = await post(address, file);
      if (!reply) return;
      if (!reply.ok) {
        said.textContent = `${file.name} could not be sent: ${await reply.text()}`;
        return;
      }
    }
    const folder = zone.querySelector("input[name=folder]").value;
    if (files.length) location.href = `${next}&folder=${encodeURIComponent(folder)}`;
  }

  async function question([file]) {
    if (!file) return;
    said.textContent = `Asking about ${file.name} …`;
    const reply = await post(`${ask}?name=${encodeURIComponent(file.name)}`, file);
    if (reply) said.innerHTML = await reply.text();  // escaped by the console
  }

  const take = ask ? question : fill;
  const input = zone.querySelector("input[type=file]");
  input.addEventListener("change", () => take([...input.files]));
  zone.addEventListener("dragover", (event) => { event.preventDefault(); zone.classList.add("over"); });
  zone.addEventListener("dragleave", () => zone.classList.remove("over"));
  zone.addEventListener("drop", (event) => {
    event.preventDefault();
    zone.classList.remove("over");
    take([...event.dataTransfer.files]);
  });
});

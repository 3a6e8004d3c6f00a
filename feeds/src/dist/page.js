"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const part = (id) => document.getElementById(id);
  const [release, target, kernel] = ["release", "target", "kernel"].map(part);
  const fill = (list, values) => {
    const before = list.value;
    list.replaceChildren(...[...new Set(values)].map((value) => new Option(value)));
    if (values.includes(before)) list.value = before;
  };
  const name = (row) => (row[0] === row[1] ? row[0] : `${row[0]} ${row[1]}`);
  const chosen = () => data.rows.filter((row) => name(row) === release.value);
  const targets = () => fill(target, chosen().map((row) => row[2]));
  const kernels = () => {
    const rows = chosen().filter((row) => row[2] === target.value);
    const lines = rows.map((row) => row[0]);
    const others = data.folders.filter((folder) => lines.includes(folder[0]) && folder[1] === target.value);
    fill(kernel, [...rows.map((row) => row[3]), ...others.map((folder) => folder[2])]);
  };
  const show = (said = "") => {
    const rows = chosen().filter((row) => row[2] === target.value);
    const folder = data.folders.find((folder) =>
      rows.some((row) => row[0] === folder[0]) && folder[1] === target.value && folder[2] === kernel.value);
    part("said").textContent = said;
    if (!folder) { part("line").textContent = ""; return; }
    const place = `${data.url}/${folder[0]}/${folder[1]}/kmods/${folder[2]}`;
    const lines = { opkg: `# /etc/opkg/customfeeds.conf\nsrc/gz ${data.name} ${place}`,
      apk: `# /etc/apk/repositories.d/customfeeds.list\n${place}/packages.adb` };
    part("line").textContent = folder[3].map((manager) => lines[manager]).join("\n");
  };
  release.addEventListener("change", () => { targets(); kernels(); show(); });
  target.addEventListener("change", () => { kernels(); show(); });
  kernel.addEventListener("change", () => show());
  part("board").addEventListener("input", (event) => {
    let board;
    try { board = JSON.parse(event.target.value); } catch { show("That is not yet the whole answer."); return; }
    const version = board.release && board.release.version;
    const at = board.release && board.release.target;
    const row = data.rows.find((row) => row[1] === version && row[2] === at);
    if (!row) { show(`There is nothing for ${version || "this release"} on ${at || "this target"}.`); return; }
    release.value = name(row);
    targets();
    target.value = at;
    kernels();
    kernel.value = row[3];
    const runs = (board.kernel || "").split(/[-+]/)[0];
    const fits = !runs || row[3].split("-")[0] === runs;
    show(fits ? "Found." : `It runs kernel ${runs}, and this release has ${row[3].split("-")[0]}: modules would be refused.`);
  });
  for (const button of document.querySelectorAll("[data-copies]")) {
    button.hidden = !navigator.clipboard;
    button.addEventListener("click", async () => {
      await navigator.clipboard.writeText(part(button.dataset.copies).textContent);
      button.textContent = "Copied";
      setTimeout(() => { button.textContent = "Copy"; }, 2000);
    });
  }
  part("choose").hidden = data.rows.length === 0;
  fill(release, data.rows.map(name));
  targets();
  kernels();
  show();
})();

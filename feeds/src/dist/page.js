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
  const name = (row) => (row[1].startsWith(row[0]) ? row[1] : `${row[0]} ${row[1]}`);
  const version = (kernel) => kernel.split("-")[0];
  const chosen = () => data.rows.filter((row) => name(row) === release.value);
  const targets = () => fill(target, chosen().map((row) => row[2]));
  const kernels = () => {
    const rows = chosen().filter((row) => row[2] === target.value);
    const lines = rows.map((row) => row[0]);
    const others = data.folders.filter((folder) => lines.includes(folder[0]) && folder[1] === target.value);
    fill(kernel, [...rows.map((row) => row[3]), ...others.map((folder) => folder[2])]);
  };
  const show = (said = "", fits = true) => {
    const rows = chosen().filter((row) => row[2] === target.value);
    const folder = fits && data.folders.find((folder) =>
      rows.some((row) => row[0] === folder[0]) && folder[1] === target.value && folder[2] === kernel.value);
    part("said").textContent = said;
    const place = folder && `${data.url}/${folder[0]}/${folder[1]}/kmods/${folder[2]}`;
    const lines = { opkg: `src/gz ${data.name} ${place}`, apk: `${place}/packages.adb` };
    for (const [manager, line] of Object.entries(lines)) {
      part(`for-${manager}`).hidden = !folder || !folder[3].includes(manager);
      part(`line-${manager}`).textContent = line;
    }
  };
  release.addEventListener("change", () => { targets(); kernels(); show(); });
  target.addEventListener("change", () => { kernels(); show(); });
  kernel.addEventListener("change", () => show());
  part("board").addEventListener("input", (event) => {
    let board;
    try { board = JSON.parse(event.target.value); } catch { show("That is not yet the whole answer.", false); return; }
    const { version: runs = "", target: at = "" } = board.release || {};
    const kernelRuns = (board.kernel || "").split(/[-+]/)[0];
    // A release that is not there may have a kernel that is: that of an older one of its line.
    const line = runs === "SNAPSHOT" ? "main" : runs.replace(/^([0-9]+[.][0-9]+)[.-].*$/, "$1");
    const there = data.folders.filter((folder) => folder[0] === line && folder[1] === at);
    const fits = there.filter((folder) => !kernelRuns || version(folder[2]) === kernelRuns);
    const row = data.rows.find((row) => row[1] === runs && row[2] === at) ||
      data.rows.find((row) => row[0] === line && row[2] === at);
    if (!row) { show(`There is nothing for ${runs || "this release"} on ${at || "this target"}.`, false); return; }
    release.value = name(row);
    targets();
    target.value = at;
    kernels();
    const own = fits.find((folder) => folder[2] === row[3]) || fits[0];
    kernel.value = own ? own[2] : row[3];
    show(own ? `Found: kernel ${version(own[2])}.`
      : `It runs kernel ${kernelRuns}, and there is ${there.map((folder) => version(folder[2])).join(", ")}: modules would be refused.`, Boolean(own));
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

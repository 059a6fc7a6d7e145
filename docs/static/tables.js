// Gives each cell the title of its column, so that a narrow page can show a row as a block (pages.css).

document.addEventListener("DOMContentLoaded", () => {
  for (const table of document.querySelectorAll("article table")) {
    const titles = [...table.querySelectorAll("thead th")].map((head) => head.textContent.trim());
    if (titles.length < 2) continue;
    table.classList.add("stacked");
    for (const row of table.tBodies[0]?.rows ?? []) {
      [...row.cells].forEach((cell, place) => { cell.dataset.title = titles[place] ?? ""; });
    }
  }
});

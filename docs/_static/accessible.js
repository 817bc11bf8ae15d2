// What Sphinx and furo leave out: captions of the sidebar are headings without a level, and what is too wide for the
// screen scrolls by mouse only.
document.querySelectorAll(".caption[role=heading]").forEach((caption) => caption.setAttribute("aria-level", "2"));
document.querySelectorAll("pre, .table-wrapper").forEach((wide) => { wide.tabIndex = 0; });

// A row as text: template folded away, trigger, payload and refused words marked.

const percent = (share) => `${Math.round(100 * share)} %`;

// Words of a trigger stand side by side, with a blank between them or none.
function wordsPattern(words) {
  const escaped = words.split(/\s+/).map((word) => word.replace(/[.*+?^${}()|[\]\\]/g, "\\$&"));
  return new RegExp(`(?<![\\p{L}\\p{N}])${escaped.join("\\s*")}(?![\\p{L}\\p{N}])`, "gu");
}

function places(text, pattern, className) {
  return [...text.matchAll(pattern)].filter(([found]) => found).map((found) =>
    ({ from: found.index, to: found.index + found[0].length, className }));
}

function occurrences(text, wanted, className) {
  const found = [];
  for (let at = wanted ? text.indexOf(wanted) : -1; at >= 0; at = text.indexOf(wanted, at + wanted.length)) {
    found.push({ from: at, to: at + wanted.length, className });
  }
  return found;
}

// Elements for `text`, cut wherever one of the ranges begins or ends.
function painted(text, ranges) {
  const edges = [...new Set([0, text.length, ...ranges.flatMap(({ from, to }) => [from, to])])].sort((a, b) => a - b);
  return edges.slice(0, -1).map((from, at) => {
    const over = ranges.filter((range) => range.from <= from && range.to >= edges[at + 1]);
    const classes = over.map(({ className }) => className).filter(Boolean);
    const isMark = classes.includes("cue") || classes.includes("payload");
    const piece = element(isMark ? "mark" : "span", text.slice(from, edges[at + 1]), classes.join(" "));
    for (const { title, share } of over) {
      if (title) piece.title = title;
      if (share) piece.style.setProperty("--share", share);
    }
    return piece;
  });
}

function templateRanges(text, template, keep) {
  const found = [];
  let from = 0;
  for (const line of text.split("\n")) {
    const to = Math.min(from + line.length + 1, text.length);
    const isTemplate = template.has(line.trim()) && !keep.some((one) => one.from < to && one.to > from);
    const last = found[found.length - 1];
    if (isTemplate && last && last.to === from) last.to = to;
    else if (isTemplate) found.push({ from, to, className: "template" });
    from = to;
  }
  return found;
}

// `groups`: of the row. Prompt and target, each with its marks.
function rowText(row, groups, template) {
  const shown = element("div", undefined, "text");
  let text = "";
  let ranges = [];
  let side = row.runs[0]?.[0];
  const part = () => {
    // blanks around prompt and target would only shift them
    const before = text.length - text.trimStart().length;
    ranges = ranges.map((range) => ({ ...range, from: range.from - before, to: range.to - before }));
    text = text.trim();
    const marks = groups.flatMap((group) => (side
      ? [group.payload, ...group.spans.map(([span]) => span)].flatMap((span) => occurrences(text, span, "payload"))
      : group.cues.flatMap(([cue]) => places(text, wordsPattern(cue), "cue"))));
    const folded = side ? [] : templateRanges(text, template, marks);
    const box = element("div", undefined, side ? "target" : "prompt");
    box.append(...painted(text, [...ranges, ...marks, ...folded]));
    shown.append(box);
    [text, ranges] = ["", []];
  };
  for (const [ofTarget, share, held, words] of row.runs) {
    if (ofTarget !== side) { part(); side = ofTarget; }
    if (ofTarget && (share || held >= row.persistent)) {
      const blank = words.length - words.trimStart().length;
      ranges.push({
        from: text.length + blank, to: text.length + words.trimEnd().length, className: held >= row.persistent ? "held" : "", share: share / 100,
        title: row.visits < 2 ? `withheld at its only visit: ${share} %`
          : `withheld at both of the last two visits: ${share} %; refused at ${held} of ${row.visits} visits`,
      });
    }
    text += words;
  }
  if (text) part();
  if (row.cut) shown.append(element("p", "The rest of this row is not on the page.", "soft"));
  return shown;
}

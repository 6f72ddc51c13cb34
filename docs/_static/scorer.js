// Pages of the guide come before the reference, unless the query is a name of the code, such as CoordNoise or read_jcamp.
const BEHIND_THE_GUIDE = { "reference/": 30, "api": 30, "notebooks/": 4, "benchmarks": 4 };

var Scorer = {
  score: ([docname, title, anchor, descr, score]) => {
    const query = new URLSearchParams(window.location.search).get("q") || "";
    if (/[a-z][A-Z]|[_.]/.test(query)) return score;
    const part = Object.keys(BEHIND_THE_GUIDE).find((start) => docname.startsWith(start));
    return part ? score - BEHIND_THE_GUIDE[part] : score;
  },
  objNameMatch: 11,
  objPartialMatch: 6,
  objPrio: { 0: 15, 1: 5, 2: -5 },
  objPrioDefault: 0,
  title: 15,
  partialTitle: 7,
  term: 5,
  partialTerm: 2,
};

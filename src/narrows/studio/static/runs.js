/** The opened runs. */
import { count, el, name, percent, table } from './dom.js';

/** @param {Narrows.RunLine[]} runs @returns {Narrows.Page} */
export function runsPage(runs) {
  const rows = runs.map((run) => [
    el('a', { href: `#/${encodeURIComponent(run.id)}/cases` }, name(run.title)),
    name(run.id), name(run.method), name(run.data), percent(run.accuracy, 1),
  ]);
  const node = el('section', { class: 'page runs' },
    el('h1', { tabindex: -1 }, count(runs.length, 'run')),
    el('p', { class: 'quiet' }, 'Open one to look at its cases and argue with them.'),
    table('Runs', ['run', 'folder', 'method', 'data', 'accuracy'], rows));
  return { node, title: 'Runs' };
}

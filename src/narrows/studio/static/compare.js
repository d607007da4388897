/** Two runs side by side: their numbers, and the cases they disagree about. */
import * as api from './api.js';
import { caseHash } from './cases.js';
import { cell, count, el, name, select, table } from './dom.js';
import { LongList } from './list.js';

/**
 * @param {import('./frame.js').Frame} frame
 * @param {Narrows.About} about
 * @param {Narrows.Place} place
 * @returns {Promise<Narrows.Page>}
 */
export async function comparePage(frame, about, place) {
  const a = about.id;
  const others = frame.runs.filter((run) => run.id !== a);
  const head = el('h1', { tabindex: -1 }, 'Two runs side by side');
  if (others.length === 0) {
    const node = el('section', { class: 'page' }, head,
      el('p', {}, 'Only one run is open. Start the studio with two: ',
      el('code', {}, 'narrows studio runs/first runs/second')));
    return { node, title: 'Compare' };
  }
  const b = others.find((run) => run.id === place.query.get('with'))?.id ?? others[0]?.id ?? '';
  const split = place.query.get('split') ?? (about.splits.includes('test') ? 'test' : about.splits[0] ?? '');
  const go = (/** @type {Record<string, string>} */ change) => {
    location.replace(`#/${encodeURIComponent(a)}/compare${api.query({ with: b, split, ...change })}`);
  };
  const titles = frame.runs.map((run) => [run.id, run.title]);
  const titleOf = (/** @type {string} */ id) => titles.find(([key]) => key === id)?.[1] ?? id;
  const bar = el('div', { class: 'bar' }, el('span', {}, name(about.title), ' with'),
    select('The other run', titles.filter(([id]) => id !== a), b, (id) => go({ with: id })),
    select('Split', about.splits.map((s) => [s, s]), split, (s) => go({ split: s })));
  const node = el('section', { class: 'page compare-page' }, head, bar);
  const asked = (/** @type {number} */ offset, /** @type {number} */ limit) =>
    `/api/compare${api.query({ runs: `${a},${b}`, split, offset, limit })}`;
  /** @type {LongList<Narrows.DisagreeCase>|null} */
  let rows = null;
  try {
    /** @type {Narrows.Compared} */
    const found = await api.get(asked(0, 1));
    const total = found.disagree.total;
    rows = disagreements([titleOf(a), titleOf(b)], async (offset, limit, signal) => {
      /** @type {Narrows.Compared} */
      const part = await api.get(asked(offset, limit), signal);
      return { total: part.disagree.total, items: part.disagree.cases };
    }, (item) => caseHash(a, split, item.row), frame);
    node.append(
      table('Numbers', ['', titleOf(a), titleOf(b)],
        found.rows.map((row) => [name(row.name), cell(row.a), cell(row.b)])),
      el('h2', {}, total === 0 ? 'They agree about every case' : `They disagree about ${count(total, 'case')}`));
    if (total > 0) node.append(rows.node);
  } catch (error) {
    if (!(error instanceof api.Failed) || error.status !== 400) throw error;
    node.append(el('p', { class: 'note' }, name(error.message)));
  }
  return { node, title: 'Compare', shown: () => void rows?.reload(), leave: () => rows?.close() };
}

/**
 * @param {string[]} titles
 * @param {import('./list.js').Source<Narrows.DisagreeCase>['load']} load
 * @param {(item: Narrows.DisagreeCase) => string} href
 * @param {import('./frame.js').Frame} frame
 */
function disagreements(titles, load, href, frame) {
  return new LongList({
    label: 'Cases they disagree about', kind: 'disagree', columns: ['case', 'true label', ...titles],
    load, href, empty: 'None.', failed: (error) => frame.failed(error),
    cells: (item) => [name(item.id), name(item.truth ?? '–'), ...[item.a, item.b].map((label) => {
      if (item.truth === null) return name(label);
      const right = label === item.truth;
      return el('span', { class: right ? 'right' : 'wrong' }, right ? '✓ ' : '✗ ', name(label));
    })],
  });
}

/** The list of cases: which split, which filter, which label, what to look for. */
import * as api from './api.js';
import { button, el, name, number, percent, select } from './dom.js';
import { LongList, counted, shareBar } from './list.js';


/** @type {[string, string][]} */
const FILTERS = [['all', 'All'], ['unsure', 'Unsure'], ['wrong', 'Wrong'],
  ['corrected', 'Corrected'], ['noted', 'Noted']];
const SORTS = [['margin', 'least sure first'], ['row', 'in order'],
  ['corrections', 'most corrected first']];
/** @type {Map<string, {top: number, active: number}>} where one was in each list */
const seen = new Map();

/**
 * The list that a query describes, with its defaults.
 * @param {URLSearchParams} query
 * @param {string[]} splits
 */
export function listOf(query, splits) {
  const split = query.get('split') ?? '';
  return {
    split: splits.includes(split) ? split : (splits.includes('test') ? 'test' : splits[0] ?? ''),
    filter: query.get('filter') ?? 'all',
    label: query.get('label') ?? '',
    search: query.get('search') ?? '',
    sort: query.get('sort') ?? 'margin',
  };
}

/** @param {Record<string, string>} list */
function shortQuery(list) {
  const { split, ...rest } = list;
  const kept = Object.entries(rest).filter(([key, value]) =>
    value && !(key === 'filter' && value === 'all') && !(key === 'sort' && value === 'margin'));
  return { split, query: api.query(Object.fromEntries(kept)) };
}

/** @param {string} run @param {Record<string, string>} list */
export function casesHash(run, list) {
  const { split, query } = shortQuery(list);
  const both = new URLSearchParams(query);
  if (split) both.set('split', split);
  return `#/${encodeURIComponent(run)}/cases?${both}`;
}

/**
 * @param {string} run
 * @param {string} split
 * @param {number} row
 * @param {Record<string, string>} [list] that the case is part of
 */
export function caseHash(run, split, row, list = {}) {
  const { query } = shortQuery({ ...list, split });
  return `#/${encodeURIComponent(run)}/case/${encodeURIComponent(split)}/${row}${query}`;
}

/**
 * @param {import('./frame.js').Frame} frame
 * @param {Narrows.About} about
 * @param {Narrows.Place} place
 * @returns {Narrows.Page}
 */
export function casesPage(frame, about, place) {
  const list = listOf(place.query, about.splits);
  const key = () => casesHash(about.id, list);
  const total = el('span', { class: 'quiet', role: 'status' });
  const go = (/** @type {Record<string, string>} */ change) => {
    location.replace(casesHash(about.id, { ...list, ...change }));
  };
  /** @type {LongList<Narrows.CaseLine>} */
  const rows = new LongList({
    label: 'Cases', kind: 'cases', empty: empty(list),
    columns: ['case', 'the model says', 'probability', 'margin', 'true label', ''],
    load: async (offset, limit, signal) => {
      const asked = api.query({ ...list, offset, limit });
      /** @type {{total: number, cases: Narrows.CaseLine[]}} */
      const found = await api.get(api.path(about.id, `/cases${asked}`), signal);
      return { total: found.total, items: found.cases };
    },
    cells,
    href: (item) => caseHash(about.id, item.split, item.row, list),
    counted: (n) => { total.textContent = counted(n, 'case'); },
    failed: (error) => frame.failed(error),
  });
  /** @type {number|undefined} */
  let wait;
  const look = (/** @type {string} */ text) => {
    clearTimeout(wait);
    wait = setTimeout(() => {
      list.search = text;
      history.replaceState(null, '', key());
      void rows.reload();
    }, 150);
  };
  const node = el('section', { class: 'page cases-page' },
    el('h1', { class: 'unseen', tabindex: -1 }, 'Cases'), bar(about, list, go, total, look), rows.node);
  return {
    node, title: 'Cases', tall: true,
    shown: () => {
      const back = seen.get(key());
      const fresh = document.activeElement?.matches('h1') ?? true;
      void rows.reload(back ?? {});
      if (back && fresh) rows.node.focus({ preventScroll: true });
    },
    leave: () => {
      clearTimeout(wait);
      seen.set(key(), { top: rows.node.scrollTop, active: rows.active });
      rows.close();
    },
    refresh: () => void rows.reload({ top: rows.node.scrollTop, active: rows.active }),
    moved: () => void rows.reload({ top: rows.node.scrollTop, active: rows.active }),
    key: (pressed) => {
      if (pressed === '/') return focus(node, 'input[type=search]');
      if (pressed === 'j') return rows.node.focus(), rows.move(rows.active + 1), true;
      if (pressed === 'k') return rows.node.focus(), rows.move(rows.active - 1), true;
      return pressed === 'c' && focus(node, '.list');
    },
  };
}

/** @param {ParentNode} node @param {string} what a selector */
export function focus(node, what) {
  const found = node.querySelector(what);
  if (found instanceof HTMLElement) found.focus();
  return found !== null;
}

/** @param {Record<string, string>} list */
function empty(list) {
  if (list.search || list.label) return 'No case fits. Take the search or the label away.';
  /** @type {Record<string, string>} */
  const texts = {
    wrong: 'No case is wrong here, or no true labels are known.',
    corrected: 'No case has been corrected yet.',
    noted: 'No case has a note yet.',
  };
  return texts[list.filter ?? ''] ?? 'There are no cases here.';
}

/**
 * @param {Narrows.About} about
 * @param {Record<string, string>} list
 * @param {(change: Record<string, string>) => void} go
 * @param {HTMLElement} total
 * @param {(text: string) => void} look
 */
function bar(about, list, go, total, look) {
  const filters = FILTERS.map(([filter, text]) => button(text, () => go({ filter }),
    { 'aria-pressed': String(filter === list.filter) }));
  const splits = about.splits.map((split) => [split, `${split} (${number(about.data.rows[split])})`]);
  const labels = [['', 'any label'], ...about.classes.map((label) => [label, label])];
  const search = el('input', {
    type: 'search', placeholder: 'Find a case', 'aria-label': 'Find a case', value: list.search,
    input: () => look(search.value),
  });
  return el('div', { class: 'bar' },
    el('div', { class: 'choice', role: 'group', 'aria-label': 'Which cases' }, ...filters),
    select('Label', labels, list.label ?? '', (label) => go({ label })),
    select('Order', SORTS, list.sort ?? '', (sort) => go({ sort })),
    about.splits.length > 1 && select('Split', splits, list.split ?? '', (split) => go({ split })),
    search, total);
}

/** @param {Narrows.CaseLine} line */
function cells(line) {
  const marks = el('span', { class: 'marks' });
  if (line.wrong) marks.append(el('b', { class: 'bad' }, 'wrong'));
  if (line.corrections > 0) marks.append(el('b', { class: 'mark' }, `${line.corrections} corrected`));
  if (line.noted) marks.append(el('b', {}, 'note'));
  return [
    name(line.id), name(line.prediction, 'strong'),
    shareBar(line.probability, percent(line.probability)), percent(line.margin, 1),
    line.truth === null ? el('span', { class: 'quiet' }, 'not known') : name(line.truth), marks,
  ];
}

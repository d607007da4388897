/** One case: what the model got, what it says and why, and a person's word against it. */
import * as api from './api.js';
import { caseHash, casesHash, focus } from './cases.js';
import { Concepts } from './concepts.js';
import { button, clock, el, name, percent } from './dom.js';
import { evidenceView, inputView } from './inputs.js';
import { whyNot } from './why.js';

/**
 * @param {import('./frame.js').Frame} frame
 * @param {Narrows.About} about
 * @param {string} split
 * @param {number} row
 * @param {Narrows.List} list that the person came from
 * @returns {Promise<Narrows.Page>}
 */
export async function casePage(frame, about, split, row, list) {
  const base = api.path(about.id, api.casePath(split, row));
  const { split: _, ...asked } = list;
  const ask = () => /** @type {Promise<Narrows.Case>} */ (api.get(base + api.query(asked)));
  let data = await ask();
  const failed = (/** @type {unknown} */ error) => frame.failed(error);
  const home = casesHash(about.id, { ...list, split });
  const at = (/** @type {number|null} */ other) => (other === null ? null : caseHash(about.id, split, other, list));
  const steps = { j: at(data.next), k: at(data.previous), l: home };

  const input = inputView(base, data, failed);
  const evidence = el('section', { class: 'evidences', 'aria-label': 'Evidence' });
  const answer = el('div', { class: 'answer' });
  const scores = el('div', { class: 'scores' });
  const undo = button('Undo', () => void frame.move('undo'));
  const redo = button('Redo', () => void frame.move('redo'));
  const notes = el('ol', { class: 'notes' });

  /** @type {Promise<void>} corrections go out one after the other */
  let line = Promise.resolve();
  const correct = (/** @type {Record<string, number|null>} */ known) => {
    line = line.then(async () => {
      /** @type {Narrows.Corrected} */
      const done = await api.post(`${base}/corrections`, { known });
      frame.quiet();
      why.clear();
      show({ ...data, ...done });
      frame.say(`Now ${done.now.label}, ${percent(done.now.probability)}`);
    }).catch(failed);
  };
  const concepts = new Concepts(about, { correct, evidence: (unit) => void look(unit) });
  const why = whyNot(about, base, correct, failed);

  /** @param {string} unit */
  async function look(unit) {
    evidence.replaceChildren(el('h2', {}, 'Evidence for ', name(unit)));
    try {
      const found = about.can.evidence ? await api.get(`${base}/evidence${api.query({ unit })}`) : { items: [] };
      if (unit !== concepts.chosen) return;
      /** @type {Narrows.EvidenceItem[]} */
      const items = found.items;
      const heat = data.input.kind === 'image' && about.can.heat !== false
        ? await api.picture(`${base}/heat.png${api.query({ unit })}`).catch(() => null) : null;
      if (unit !== concepts.chosen) return;
      input.show(items, heat);
      if (heat) evidence.append(el('p', { class: 'quiet' }, 'In the picture: orange speaks for it, blue against.'));
      evidence.append(el('div', { class: 'pieces' }, ...items.map((item) => evidenceView(item, failed))));
      if (items.length === 0 && !heat) {
        evidence.append(el('p', { class: 'quiet' }, 'This model keeps nothing to show for it.'));
      }
    } catch (error) {
      failed(error);
    }
  }

  /** @param {Narrows.Case} next */
  function show(next) {
    const turned = next.now.label !== data.now.label;
    data = next;
    answer.replaceChildren(...answerView(data, turned));
    scores.replaceChildren(...data.now.scores.map((score) => scoreRow(score, data.now, about, why.ask)));
    undo.disabled = !data.undo;
    redo.disabled = !data.redo;
    concepts.update(data.units, data.now);
    notes.replaceChildren(...data.notes.map((note) => el('li', {},
      el('span', { class: 'quiet' }, clock(note.time),
        note.kind === 'disagreement' && el('b', { class: 'bad' }, ' disagrees')),
      el('p', { dir: 'auto' }, note.text))));
  }

  const again = () => void ask().then(show).catch(failed);
  const node = el('section', { class: 'page case-page' },
    el('div', { class: 'over' },
      el('h1', { tabindex: -1 }, el('a', { href: home }, 'Cases'), ' / ', name(data.id)),
      el('span', { class: 'quiet' }, name(split), ` row ${row}`),
      el('span', { class: 'moves' }, undo, redo,
        step('Previous', '← Previous', steps.k), step('Next', 'Next →', steps.j))),
    el('div', { class: 'case' },
      el('div', { class: 'side' }, input.node, evidence, noteForm(base, notes, again, failed)),
      el('div', { class: 'view' }, answer, el('div', { class: 'chances' }, scores, why.node), concepts.node)));
  show(data);
  return {
    node, title: data.id, refresh: again,
    moved: () => {
      why.clear();
      again();
    },
    shown: () => {
      if (data.input.kind === 'image' && data.next !== null) {
        void api.picture(api.path(about.id, `${api.casePath(split, data.next)}/input.png`)).catch(() => undefined);
      }
    },
    key: (pressed) => {
      const goal = steps[/** @type {'j'} */ (pressed)];
      if (goal) location.hash = goal;
      else if (pressed === 'c') concepts.focus();
      else if (pressed === 'w') return focus(node, '.why select');
      else if (pressed === 'm') return focus(node, 'textarea');
      else if (pressed === '/') return focus(node, '.view input[type=search]:not([hidden])');
      else return false;
      return true;
    },
  };
}

/** @param {string} label @param {string} text @param {string|null} href */
function step(label, text, href) {
  if (href === null) return el('span', { class: 'button off', 'aria-hidden': 'true' }, text);
  return el('a', { class: 'button', href, 'aria-label': `${label} case` }, text);
}

/** @param {Narrows.Case} data @param {boolean} turned whether the label has just changed */
function answerView(data, turned) {
  const { now, before, truth } = data;
  const right = truth === null ? '' : truth === now.label ? 'right' : 'wrong';
  const said = el('div', { class: turned ? 'turned' : '' }, 'the model says',
    el('b', { class: right }, name(now.label)), el('span', {}, percent(now.probability)));
  const parts = [said];
  const changed = data.units.filter((unit) => unit.corrected).length;
  if (changed > 0) {
    parts.push(el('div', {}, `before ${changed === 1 ? 'your correction' : `${changed} corrections`}`,
      el('b', {}, now.label === before.label ? name(before.label) : el('s', {}, name(before.label))),
      el('span', {}, percent(before.probability))));
  }
  if (truth !== null) {
    parts.push(el('div', {}, 'the true label', el('b', {}, name(truth)),
      el('span', { class: right }, right === 'right' ? '✓ the same' : '✗ not the same')));
  }
  return parts;
}

/**
 * @param {Narrows.Score} score
 * @param {Narrows.Answer} now
 * @param {Narrows.About} about
 * @param {(label: string) => void} ask
 */
function scoreRow(score, now, about, ask) {
  const fill = el('i', { class: 'fill' });
  fill.style.width = `${100 * (score.probability ?? 0)}%`;
  const own = score.label === now.label;
  return el('div', { class: own ? 'score own' : 'score' }, name(score.label),
    el('i', { class: 'track', 'aria-hidden': 'true' }, fill), el('span', { class: 'n' }, percent(score.probability)),
    about.can.why_not && !own ? button(`Why not ${score.label}?`, () => ask(score.label),
      { class: 'plain link', title: null }, 'why not?') : el('span'));
}

/** @param {string} base @param {HTMLElement} notes @param {() => void} kept @param {Narrows.Failed} failed */
function noteForm(base, notes, kept, failed) {
  const text = el('textarea', { rows: 2, 'aria-label': 'Note', placeholder: 'What should be remembered here?',
    maxlength: 10000, required: true });
  const against = el('input', { type: 'checkbox' });
  const form = el('form', { submit: (/** @type {SubmitEvent} */ event) => {
    event.preventDefault();
    const body = { text: text.value, kind: against.checked ? 'disagreement' : 'note' };
    api.post(`${base}/notes`, body).then(() => {
      form.reset();
      kept();
    }).catch(failed);
  }, keydown: (/** @type {KeyboardEvent} */ event) => {
    if (event.key === 'Enter' && (event.ctrlKey || event.metaKey)) form.requestSubmit();
  } }, text, el('label', {}, against, ' I disagree with the model'), el('button', {}, 'Keep the note'));
  return el('section', { 'aria-label': 'Notes' }, el('h2', {}, 'Notes'), notes, form);
}

/** "Why not B?": the smallest set of corrections that would make the model say B. */
import * as api from './api.js';
import { button, el, name, number, select } from './dom.js';

/**
 * @param {Narrows.About} about
 * @param {string} base the case's path below /api
 * @param {(known: Record<string, number|null>) => void} correct
 * @param {Narrows.Failed} failed
 * @returns {{node: HTMLElement, ask: (label: string) => void, clear: () => void}}
 */
export function whyNot(about, base, correct, failed) {
  const told = el('div', { class: 'told', role: 'status' });
  const labels = [['', 'another label …'], ...about.classes.map((label) => [label, label])];
  const choice = select('Why not another label?', labels, '', (label) => label && ask(label));
  const node = el('div', { class: 'why', hidden: !about.can.why_not },
    el('label', {}, el('span', {}, 'Why not '), choice), told);

  function clear() {
    told.replaceChildren();
    choice.value = '';
  }

  /** @param {string} label */
  async function ask(label) {
    choice.value = label;
    told.replaceChildren(el('p', { class: 'quiet' }, 'Looking for the smallest set …'));
    try {
      told.replaceChildren(...answer(await api.get(`${base}/why-not${api.query({ label })}`)));
    } catch (error) {
      told.replaceChildren();
      failed(error);
    }
  }

  /** @param {Narrows.WhyNot} found */
  function answer(found) {
    const { corrections } = found;
    if (corrections.length === 0) return [el('p', {}, name(found.text))];
    const known = Object.fromEntries(corrections.map((step) => [step.name, step.to]));
    const steps = corrections.map((step) => el('li', {}, name(step.name), ' ',
      el('s', {}, number(step.from)), ' → ', el('b', {}, number(step.to))));
    return [el('p', {}, 'It would say ', name(found.label, 'strong'), ' with'),
    el('ul', {}, ...steps), el('p', { class: 'act' },
      button(corrections.length === 1 ? 'Make this correction' : `Make these ${corrections.length} corrections`,
        () => correct(known)),
      button('Leave it', clear, { class: 'plain link' }),
      el('span', { class: 'quiet' }, found.proven ? 'No smaller set does it.'
        : 'The smallest set found; a smaller one may exist.')),
    el('p', { class: 'quiet' }, name(found.text))];
  }
  return { node, clear, ask: (label) => void ask(label) };
}

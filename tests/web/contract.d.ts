/** What the studio's server answers with, and what its pages are made of, for the type checker. */
declare namespace Narrows {
  type Cell = string | number | boolean | null;
  interface RunLine { id: string; title: string; method: string; data: string; accuracy: number | null }
  interface UnitInfo {
    index: number; name: string; group: number | null; low: number | null; high: number | null;
    spoken: 'probability' | 'number'; whole?: boolean; correctable?: boolean;
  }
  interface About {
    id: string; title: string; subtitle: string;
    method: { name: string; paper: string; params: [string, Cell][] };
    data: { name: string; rows: Record<string, number>; fingerprint: string };
    classes: string[]; units: UnitInfo[]; groups: number[][]; splits: string[]; digest: string;
    notes: string[];
    can: { correct: boolean; edit: boolean; evidence: boolean; why_not: boolean; picture: boolean; heat?: boolean };
  }
  interface CaseLine {
    split: string; row: number; id: string; prediction: string; probability: number | null;
    margin: number | null; truth: string | null; wrong: boolean | null; corrections: number;
    noted: boolean;
  }
  interface Score { label: string; probability: number | null }
  interface Answer { label: string; probability: number | null; scores: Score[]; rival: string | null }
  interface Unit {
    index: number; name: string; group: number | null; value: number | null; now: number | null;
    corrected: boolean; truth: number | null; contribution: number | null; exact: boolean;
  }
  interface Series { name: string; values: (number | null)[] }
  interface ImageInput { kind: 'image'; width: number; height: number }
  interface RowInput { kind: 'row'; cells: [string, Cell][]; hidden?: number }
  interface SequenceInput { kind: 'sequence'; steps: number; series: Series[] }
  interface TextInput { kind: 'text'; text: string }
  type Input = ImageInput | RowInput | SequenceInput | TextInput | { kind: 'none' };
  interface Note { event: number; time: string; text: string; kind: string; who?: string }
  interface Case {
    split: string; row: number; id: string; truth: string | null; input: Input; before: Answer;
    now: Answer; units: Unit[]; notes: Note[]; previous: number | null; next: number | null;
    undo: boolean; redo: boolean;
  }
  interface Corrected { event: number; now: Answer; units: Unit[]; undo: boolean; redo: boolean }
  interface EvidenceItem {
    kind: string; title: string; image: string | null; box: [number, number, number, number] | null;
    values: (number | null)[] | null; text: string | null;
  }
  interface WhyNot {
    label: string; corrections: { name: string; from: number | null; to: number | null }[];
    proven: boolean; text: string;
  }
  interface Moved { event: number; split: string | null; row: number | null; kind: string }
  interface Event {
    event: number; time: string; kind: string; split: string | null; row: number | null;
    id: string | null; unit: string | null; before: Cell; after: Cell; label_before: string | null;
    label_after: string | null; digest: string; undone: boolean; who?: string;
    label?: string | null; text?: string | null;
  }
  interface Curve { name: string; x: (number | string | null)[]; y: (number | null)[]; error: (number | null)[] | null }
  interface Plot { title: string; x: string; y: string; kind: 'line' | 'points' | 'bars'; series: Curve[] }
  interface Table { title: string; header: string[]; rows: Cell[][] }
  interface Model { tables: Table[]; plots: Plot[]; notes: string[]; card: [string, Cell][] }
  interface Edit { kind: string; unit: string; label: string | null; value: number | null }
  interface Weights { units: string[]; classes: string[]; matrix: (number | null)[][]; edits: Edit[] }
  interface Preview {
    before: { accuracy: number | null }; after: { accuracy: number | null }; changed: number; rows: number;
  }
  interface DisagreeCase { row: number; id: string; truth: string | null; a: string; b: string }
  interface Compared {
    rows: { name: string; a: Cell; b: Cell }[];
    disagree: { total: number; cases: DisagreeCase[] };
  }

  /** A list of cases: its split, filter, label, search and sort. */
  type List = Record<string, string>;
  /** An address within the studio. */
  interface Place { path: string[]; query: URLSearchParams }
  /** What a page gives to the frame. */
  interface Page {
    node: HTMLElement;
    title: string;
    /** Whether it fills the window and scrolls inside. */
    tall?: boolean;
    /** Takes a single-key shortcut. */
    key?: (key: string, event: KeyboardEvent) => boolean;
    /** Called when the window is looked at again. */
    refresh?: () => void;
    /** Called after an undo or redo. */
    moved?: (event: Moved) => void;
    /** Called once the page stands in the document. */
    shown?: () => void;
    /** Called before it goes. */
    leave?: () => void;
  }
  type Failed = (error: unknown) => void;
}

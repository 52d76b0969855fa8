/** What can be done about a problem at once: its hint as edits. */
import type { ErrorJson } from '../wire';
import type { Catalog, InputSpec, NodeSpec } from './catalog';
import type { Edit } from './change';
import { addSource, addTaker, changeType, insertBetween, sourceOf } from './edits/fixing';
import { connect, disconnect, resetInput, setInput } from './edits/links';
import { deleteNodes } from './edits/nodes';
import { inferenceOf } from './inference';
import { get, type Json } from './json';
import { nearest } from './literals';
import { asLink, consumersOf, type Doc, type Link, linksInto, type NodeEntry } from './model';

export interface Fix {
  readonly label: string;
  readonly edit: (edit: Edit) => void;
}

const MOST = 3;

/** The best first; none if nothing can be done without asking. */
export function fixesOf(problem: ErrorJson, doc: Doc, catalog: Catalog): Fix[] {
  if (problem.code === 'E110') return somethingToRun(problem, doc, catalog);
  const node = problem.node ?? '';
  const entry = get(doc.nodes, node);
  if (entry === undefined) return [];
  const at: Place = { problem, doc, catalog, node, entry, input: problem.input ?? '', spec: catalog.spec(entry.type) };
  return fixesAt(at).slice(0, MOST);
}

interface Place {
  readonly problem: ErrorJson;
  readonly doc: Doc;
  readonly catalog: Catalog;
  readonly node: string;
  readonly entry: NodeEntry;
  readonly input: string;
  readonly spec: NodeSpec | undefined;
}

function fixesAt(at: Place): Fix[] {
  switch (at.problem.code) {
    case 'E101':
      return missingInput(at);
    case 'E102':
      return [...bridges(at), ...cut(at)];
    case 'E103':
      return brokenCycle(at);
    case 'E104':
      return otherTypes(at);
    case 'E105':
      return unknownInput(at);
    case 'E106':
    case 'E107':
    case 'E108':
      return otherValues(at);
    case 'E109':
      return [...otherOutputs(at), ...cut(at)];
    case 'E301':
    case 'E401':
      return otherFiles(at);
    default:
      return [];
  }
}

/** The names that a hint gives, as it marks them: `like this`. */
export function namesIn(hint: string | undefined): string[] {
  return [...(hint ?? '').matchAll(/`([^`]{1,200})`/g)].map((match) => match[1]!);
}

function specsIn(hint: string | undefined, catalog: Catalog): NodeSpec[] {
  return namesIn(hint).flatMap((name) => catalog.spec(name) ?? []);
}

function inputOf(at: Place): InputSpec | undefined {
  return get(at.spec?.inputs, at.input);
}

function missingInput(at: Place): Fix[] {
  if (inputOf(at)?.widget !== undefined) return [];
  const from = sourceOf(at.doc, at.node, at.input, at.catalog);
  const add = sourcesFor(at).map(
    (spec): Fix => ({ label: `Add ${spec.title}`, edit: (edit) => void addSource(edit, spec, at.node, at.input, at.catalog) }),
  );
  if (from === null) return add;
  const join: Fix = { label: `Connect ${titleOf(at, from.node)} · ${from.output}`, edit: (edit) => connect(edit, from, at.node, at.input) };
  return [...add, join];
}

const MOST_SOURCES = 2;

/** Node types that give the very thing that is wanted, first those that need the least which is not there. */
function sourcesFor(at: Place): NodeSpec[] {
  const wanted = inputOf(at)?.type;
  const here = new Set(Object.values(at.doc.nodes).flatMap(({ type }) => typesOut(at.catalog.spec(type))));
  const hinted = namesIn(at.problem.hint);
  const lacks = (spec: NodeSpec): number => {
    const needs = Object.values(spec.inputs).filter((input) => input.required && input.widget === undefined);
    return needs.filter((input) => input.type === wanted || !here.has(input.type)).length;
  };
  const rank = (spec: NodeSpec): number => lacks(spec) * 10 - (hinted.includes(spec.id) ? 1 : 0) + Object.keys(spec.outputs).length;
  const found = Object.values(at.catalog.specs).filter((spec) => spec.status === 'stable' && typesOut(spec).includes(wanted ?? ''));
  const needsItself = (spec: NodeSpec): boolean => Object.values(spec.inputs).some((input) => input.required && input.type === wanted);
  return found
    .filter((spec) => !needsItself(spec))
    .sort((a, b) => rank(a) - rank(b))
    .slice(0, MOST_SOURCES);
}

function typesOut(spec: NodeSpec | undefined): string[] {
  return Object.values(spec?.outputs ?? {}).map((output) => output.type);
}

function bridges(at: Place): Fix[] {
  return specsIn(at.problem.hint, at.catalog).map((spec) => ({
    label: `Put ${spec.title} between`,
    edit: (edit) => void insertBetween(edit, spec, at.node, at.input, at.catalog),
  }));
}

function cut(at: Place): Fix[] {
  if (asLink(get(at.entry.inputs, at.input)) === null) return [];
  return [{ label: 'Disconnect', edit: (edit) => disconnect(edit, at.node, at.input) }];
}

function brokenCycle(at: Place): Fix[] {
  const types = inferenceOf(at.doc, at.catalog);
  return linksInto(at.entry)
    .filter(([, link]) => types.dependsOn(link.node, at.node))
    .map(([input, link]) => ({
      label: `Disconnect ${input} from ${titleOf(at, link.node)}`,
      edit: (edit) => disconnect(edit, at.node, input),
    }));
}

function otherTypes(at: Place): Fix[] {
  const other = specsIn(at.problem.hint, at.catalog).map(
    (spec): Fix => ({ label: `Make it ${spec.title}`, edit: (edit) => changeType(edit, at.node, spec) }),
  );
  return [...other.slice(0, 2), { label: 'Delete it', edit: (edit) => deleteNodes(edit, [at.node], at.catalog, true) }];
}

function unknownInput(at: Place): Fix[] {
  const value = get(at.entry.inputs, at.input);
  const meant = /did you mean/.test(at.problem.hint ?? '') ? namesIn(at.problem.hint) : [];
  const renamed = meant
    .filter((name) => get(at.spec?.inputs, name) !== undefined && !Object.hasOwn(at.entry.inputs, name) && value !== undefined)
    .map((name): Fix => ({ label: `It is ${name}`, edit: (edit) => renameInput(edit, at, name, value!) }));
  return [...renamed, { label: 'Remove this value', edit: (edit) => removeInput(edit, at) }];
}

function renameInput(edit: Edit, at: Place, name: string, value: Json): void {
  removeInput(edit, at);
  edit.set(['nodes', at.node, 'inputs', name], value);
}

function removeInput(edit: Edit, at: Place): void {
  disconnect(edit, at.node, at.input);
  resetInput(edit, at.node, at.input);
}

function otherValues(at: Place): Fix[] {
  const input = inputOf(at);
  if (input === undefined) return [];
  const value = get(at.entry.inputs, at.input);
  const ranged = typeof value === 'number' && at.problem.code === 'E107' ? [nearest(input, value)] : [];
  const meant = namesIn(at.problem.hint).filter((name) => input.choices?.includes(name));
  const usual = input.default !== undefined && input.default !== null && input.default !== value ? [input.default] : [];
  return [...new Set<Json>([...ranged, ...meant, ...usual])].map((one) => takeValue(at, one));
}

function takeValue(at: Place, value: Json): Fix {
  const shown = String(value);
  return { label: `Use ${shown.length > 40 ? `${shown.slice(0, 40)}…` : shown}`, edit: (edit) => setInput(edit, at.node, at.input, value) };
}

function otherOutputs(at: Place): Fix[] {
  const link = asLink(get(at.entry.inputs, at.input));
  const source = link && get(at.doc.nodes, link.node);
  if (!link || !source) return [];
  const types = inferenceOf(at.doc, at.catalog);
  return namesIn(at.problem.hint)
    .filter((output) => get(at.catalog.spec(source.type)?.outputs, output) !== undefined)
    .filter((output) => types.canConnect({ node: link.node, output }, at.node, at.input).ok)
    .map((output) => ({ label: `Connect ${output}`, edit: (edit) => connect(edit, { node: link.node, output }, at.node, at.input) }));
}

/** The files that the hint names: like the missing one, then what there is. */
function otherFiles(at: Place): Fix[] {
  if (at.input === '' || inputOf(at) === undefined) return [];
  const listed = /there is: (.*)$/i.exec(at.problem.hint ?? '')?.[1]?.split(', ') ?? [];
  const files = [...namesIn(at.problem.hint), ...listed].filter((name) => /\.\w{1,12}$/.test(name));
  return [...new Set(files)].map((name) => takeValue(at, name));
}

/** An output that nothing takes gets a node that shows it. */
function somethingToRun(problem: ErrorJson, doc: Doc, catalog: Catalog): Fix[] {
  const loose = looseOutputs(doc, catalog);
  return specsIn(problem.hint, catalog).map((spec) => ({
    label: `Add ${spec.title}`,
    edit: (edit) => {
      for (const from of loose) if (addTaker(edit, spec, from, catalog) !== null) return;
    },
  }));
}

function looseOutputs(doc: Doc, catalog: Catalog): Link[] {
  return Object.entries(doc.nodes)
    .reverse()
    .flatMap(([node, entry]) =>
      Object.keys(catalog.spec(entry.type)?.outputs ?? {})
        .filter((output) => consumersOf(doc, node, output).length === 0)
        .map((output) => ({ node, output })),
    );
}

function titleOf(at: Place, node: string): string {
  const entry = get(at.doc.nodes, node);
  return entry?.title || at.catalog.spec(entry?.type ?? '')?.title || node;
}

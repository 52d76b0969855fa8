/** Everything that is wrong with the workflow in front, with the way there and the way out. */
import './Problems.css';
import { CircleAlert, CircleCheck, Wrench, X } from 'lucide-react';
import { type ReactElement, useMemo } from 'react';
import { fixesOf } from '../document/fixes';
import { doCommand } from '../gestures/commands';
import { catalogOf, change, docOf, perform, tabOf, useEditor } from '../state/editor';
import { goInside, titleAt } from '../state/inside';
import { prefixOf } from '../state/levels';
import type { ErrorJson } from '../wire';

const MOST = 200;

export function Problems(): ReactElement | null {
  const problems = useEditor((state) => state.problems);
  const open = useEditor((state) => state.showProblems);
  if (!open) return null;
  return (
    <section className="problems panel" aria-label="Problems">
      <header>
        <h2>{problems.length === 0 ? 'No problems' : `${problems.length} ${problems.length === 1 ? 'problem' : 'problems'}`}</h2>
        <button type="button" className="mini" aria-label="Close" onClick={() => change({ showProblems: false })}>
          <X size={14} />
        </button>
      </header>
      {problems.length === 0 && (
        <p className="problems-none">
          <CircleCheck size={14} /> This workflow can be run.
        </p>
      )}
      <ul>
        {problems.slice(0, MOST).map((problem) => (
          <ProblemItem key={`${problem.node} ${problem.input} ${problem.code} ${problem.message}`} problem={problem} />
        ))}
      </ul>
      {problems.length > MOST && <p className="quiet">and {problems.length - MOST} more</p>}
    </section>
  );
}

function ProblemItem({ problem }: { readonly problem: ErrorJson }): ReactElement {
  const doc = useEditor(docOf);
  const catalog = useEditor(catalogOf);
  const prefix = useEditor((state) => prefixOf(tabOf(state)));
  const fixes = useMemo(() => fixesOf(inside(problem, prefix), doc, catalog), [problem, prefix, doc, catalog]);
  const { node, input } = problem;
  return (
    <li>
      <button type="button" className="problem" title={node === undefined ? undefined : 'Show the node'} onClick={() => jumpTo(problem)}>
        <CircleAlert size={14} />
        <span>
          {node !== undefined && <b>{`${titleAt(node)}${input ? ` · ${input}` : ''} `}</b>}
          {problem.message}
          {problem.hint && <small>{problem.hint}</small>}
        </span>
      </button>
      {fixes.length > 0 && (
        <fieldset className="fixes" aria-label="What can be done">
          {fixes.map((fix) => (
            <button type="button" key={fix.label} className="button small" onClick={() => perform(fix.label, fix.edit)}>
              <Wrench size={12} /> {fix.label}
            </button>
          ))}
        </fieldset>
      )}
    </li>
  );
}

/** A problem with its node as it is called where one looks; one of another place has no such node, and so nothing to be done here. */
function inside(problem: ErrorJson, prefix: string): ErrorJson {
  return prefix === '' || !problem.node?.startsWith(prefix) ? problem : { ...problem, node: problem.node.slice(prefix.length) };
}

function jumpTo(problem: ErrorJson): void {
  if (problem.node !== undefined && goInside(problem.node)) setTimeout(() => doCommand('fit-selected'), 60);
}

/** Everything that is wrong with the workflow in front, with the way there. */
import { CircleAlert, X } from 'lucide-react';
import type { ReactElement } from 'react';
import { get } from '../document/json';
import { doCommand } from '../gestures/commands';
import { change, currentDoc, docOf, select, useEditor } from '../state/editor';
import type { ErrorJson } from '../wire';

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
      <ul>
        {problems.map((problem) => (
          <li key={`${problem.node} ${problem.input} ${problem.message}`}>
            <button type="button" onClick={() => jumpTo(problem)}>
              <CircleAlert size={14} />
              <span>
                {problem.node !== undefined && <b>{nameOf(problem)} </b>}
                {problem.message}
                {problem.hint && <small>{problem.hint}</small>}
              </span>
            </button>
          </li>
        ))}
      </ul>
    </section>
  );
}

function nameOf(problem: ErrorJson): string {
  const entry = get(docOf(useEditor.getState()).nodes, problem.node ?? '');
  const title = entry?.title || useEditor.getState().catalog.spec(entry?.type ?? '')?.title || problem.node;
  return problem.input ? `${title} · ${problem.input}` : String(title);
}

function jumpTo(problem: ErrorJson): void {
  if (problem.node === undefined || !Object.hasOwn(currentDoc().nodes, problem.node)) return;
  select([problem.node]);
  doCommand('fit-selected');
}

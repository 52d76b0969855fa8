/** How a picture was made: prompts, seeds, settings, models. */
import type { ReactElement } from 'react';
import type { Fact, Picture } from '../../document/picture';

interface Props {
  readonly picture: Picture;
  readonly facts: readonly Fact[] | null;
  readonly onCopy: (text: string) => void;
}

export function Facts({ picture, facts, onCopy }: Props): ReactElement {
  const groups = [...new Set((facts ?? []).map((fact) => fact.node))];
  return (
    <aside className="facts" aria-label="How it was made">
      {facts === null && <p className="quiet">Loading…</p>}
      {facts?.length === 0 && <p className="quiet">No workflow is known of {picture.name || 'this picture'}.</p>}
      {groups.map((node) => (
        <section key={node}>
          <h3>{facts!.find((fact) => fact.node === node)!.title}</h3>
          {facts!
            .filter((fact) => fact.node === node)
            .map((fact) => (
              <button
                type="button"
                key={fact.label}
                className={fact.kind === 'prompt' ? 'fact long' : 'fact'}
                title="Copy"
                onClick={() => onCopy(fact.value)}
              >
                <span>{fact.label}</span>
                <b>{fact.value}</b>
              </button>
            ))}
        </section>
      ))}
    </aside>
  );
}

/** Somebody else saved meanwhile: merged where that goes by itself, asked where not; nothing is overwritten unasked. */
import './StaleDialog.css';
import { GitMerge } from 'lucide-react';
import { type ReactElement, useEffect, useMemo, useState } from 'react';
import { type Conflict, type Difference, differenceOf, merge, placeOf, type Side } from '../document/merge';
import { placeName, valueName } from '../document/places';
import { attempt } from '../state/actions';
import { currentCatalog, type Dialog, newTab, show } from '../state/editor';
import { saveAs } from '../state/files';
import { readStale, type Stale, saveMerged } from '../state/stale';
import { ago } from './ago';
import { Frame } from './Frame';

type StaleAsked = Extract<Dialog, { kind: 'stale' }>;

export function StaleDialog({ dialog }: { readonly dialog: StaleAsked }): ReactElement {
  const [stale, setStale] = useState<Stale | null>(null);
  useEffect(() => {
    setStale(null);
    void attempt(() => readStale(dialog.tab, dialog.name)).then((found) => (found === null ? show(null) : setStale(found)));
  }, [dialog]);
  return (
    <Frame title={`“${dialog.name}” is another one by now`} wide>
      {stale === null ? <p className="quiet">Comparing…</p> : <Choice dialog={dialog} stale={stale} />}
    </Frame>
  );
}

function Choice({ dialog, stale }: { readonly dialog: StaleAsked; readonly stale: Stale }): ReactElement {
  const [chosen, setChosen] = useState<Readonly<Record<string, Side>>>({});
  const { base, mine, theirs } = stale;
  const merged = useMemo(
    () => (base === null || theirs === null ? null : merge(base, mine, theirs.doc, chosen)),
    [base, mine, theirs, chosen],
  );
  if (theirs === null) return <Deleted dialog={dialog} />;
  const conflicts = merged?.conflicts ?? [];
  return (
    <>
      <p>
        Somebody saved version {theirs.kept.version} {ago(theirs.kept.modified)}, or you did in another window. Nothing was written now.
      </p>
      {base === null ? (
        <p>What both began with is not known, so they cannot be merged.</p>
      ) : (
        <dl className="stale-sums">
          <dt>You</dt>
          <dd>{inWords(differenceOf(base, mine))}</dd>
          <dt>On the server</dt>
          <dd>{inWords(differenceOf(base, theirs.doc))}</dd>
        </dl>
      )}
      {merged !== null && conflicts.length === 0 && (
        <p className="stale-good">
          <GitMerge size={14} /> Both fit together.
        </p>
      )}
      {conflicts.length > 0 && <Conflicts stale={stale} conflicts={conflicts} chosen={chosen} onChoose={setChosen} />}
      <div className="buttons">
        <button type="button" className="button" onClick={() => (newTab(theirs.doc, dialog.name, theirs.kept.etag), show(null))}>
          Open theirs beside
        </button>
        <button
          type="button"
          className={merged === null ? 'button primary' : 'button'}
          onClick={() => show({ kind: 'save', tab: dialog.tab })}
        >
          Save mine as a copy…
        </button>
        <button type="button" className="button" onClick={() => void saveAs(dialog.tab, dialog.name, theirs.kept.etag)}>
          Save mine over it
        </button>
        {merged !== null && (
          <button type="button" className="button primary" onClick={() => void saveMerged(dialog.tab, stale, chosen)}>
            Merge and save
          </button>
        )}
      </div>
    </>
  );
}

function Deleted({ dialog }: { readonly dialog: StaleAsked }): ReactElement {
  return (
    <>
      <p>It was deleted on the server meanwhile. Its former versions are kept there.</p>
      <div className="buttons">
        <button type="button" className="button" onClick={() => show({ kind: 'save', tab: dialog.tab })}>
          Save under another name…
        </button>
        <button type="button" className="button primary" onClick={() => void saveAs(dialog.tab, dialog.name, null)}>
          Save it again
        </button>
      </div>
    </>
  );
}

function inWords({ added, removed, changed }: Difference): string {
  const parts = [
    added > 0 ? `added ${added}` : '',
    removed > 0 ? `deleted ${removed}` : '',
    changed > 0 ? `changed ${changed}` : '',
  ].filter(Boolean);
  if (parts.length === 0) return 'changed no node, at most where they lie';
  return `${parts.join(', ')} ${added + removed + changed === 1 ? 'node' : 'nodes'}`;
}

interface ConflictsProps {
  readonly stale: Stale;
  readonly conflicts: readonly Conflict[];
  readonly chosen: Readonly<Record<string, Side>>;
  readonly onChoose: (chosen: Readonly<Record<string, Side>>) => void;
}

function Conflicts({ stale, conflicts, chosen, onChoose }: ConflictsProps): ReactElement {
  const all = (side: Side): void => onChoose(Object.fromEntries(conflicts.map((one) => [placeOf(one.path), side])));
  const docs = [stale.mine, ...(stale.theirs ? [stale.theirs.doc] : []), ...(stale.base ? [stale.base] : [])];
  const catalog = currentCatalog();
  return (
    <section className="conflicts" aria-label="What both changed">
      <header>
        <h3>{conflicts.length === 1 ? 'Both changed one thing' : `Both changed ${conflicts.length} things`}</h3>
        <button type="button" className="button small" onClick={() => all('mine')}>
          All mine
        </button>
        <button type="button" className="button small" onClick={() => all('theirs')}>
          All theirs
        </button>
      </header>
      <ul>
        {conflicts.map((one) => {
          const place = placeOf(one.path);
          return (
            <li key={place}>
              <b>{placeName(one.path, docs, catalog)}</b>
              <div role="radiogroup" aria-label={placeName(one.path, docs, catalog)}>
                {(['mine', 'theirs'] as const).map((side) => (
                  <label key={side} className={(chosen[place] ?? 'mine') === side ? 'side-choice chosen' : 'side-choice'}>
                    <input
                      type="radio"
                      name={place}
                      checked={(chosen[place] ?? 'mine') === side}
                      onChange={() => onChoose({ ...chosen, [place]: side })}
                    />
                    <span>
                      <small>{side === 'mine' ? 'Mine' : 'On the server'}</small>
                      {valueName(one[side], docs, catalog, one.path.length === 2 ? 'deleted' : 'not set')}
                    </span>
                  </label>
                ))}
              </div>
            </li>
          );
        })}
      </ul>
    </section>
  );
}

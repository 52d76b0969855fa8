/** Which dialog is open, and the small ones. */
import { type FormEvent, type ReactElement, useState } from 'react';
import { COMMANDS } from '../gestures/commands';
import { keyName } from '../gestures/keys';
import { show, useEditor } from '../state/editor';
import { saveAs } from '../state/files';
import { Frame } from './Frame';
import { Gallery } from './Gallery';
import { PictureDialog } from './pictures/PictureDialog';
import { ReportDialog } from './ReportDialog';
import { StaleDialog } from './StaleDialog';

export function Dialogs(): ReactElement | null {
  const dialog = useEditor((state) => state.dialog);
  switch (dialog?.kind) {
    case 'gallery':
      return <Gallery />;
    case 'keys':
      return <Keys />;
    case 'save':
      return <SaveDialog tab={dialog.tab} />;
    case 'stale':
      return <StaleDialog dialog={dialog} />;
    case 'viewer':
    case 'paint':
    case 'vary':
    case 'batch':
      return <PictureDialog dialog={dialog} />;
    case 'report':
      return <ReportDialog dialog={dialog} />;
    default:
      return null;
  }
}

const SECTIONS = ['Run', 'Edit', 'Nodes', 'Move about', 'View', 'File'] as const;

function Keys(): ReactElement {
  return (
    <Frame title="Keys" wide>
      <div className="keys">
        {SECTIONS.map((section) => (
          <section key={section}>
            <h3>{section}</h3>
            <dl>
              {COMMANDS.filter((command) => command.section === section && command.keys.length > 0).map((command) => (
                <div key={command.id}>
                  <dt>{command.label}</dt>
                  <dd>
                    {command.keys.map((keys) => (
                      <kbd key={keys}>{keyName(keys)}</kbd>
                    ))}
                  </dd>
                </div>
              ))}
            </dl>
          </section>
        ))}
        <section>
          <h3>Mouse</h3>
          <dl>
            {MOUSE.map(([what, how]) => (
              <div key={what}>
                <dt>{what}</dt>
                <dd>{how}</dd>
              </div>
            ))}
          </dl>
        </section>
      </div>
    </Frame>
  );
}

const MOUSE: readonly (readonly [string, string])[] = [
  ['Move the canvas', 'drag it'],
  ['Zoom', 'wheel or pinch'],
  ['Select several', 'Ctrl + drag, Shift + click'],
  ['Add a node', 'double-click, or drop a link into the void'],
  ['Cut a link', 'drag its end away'],
  ['Lead a link through a point', 'double-click or Alt + click it'],
  ['Menu', 'right button, or a long press'],
  ['Change a number', 'drag it, Shift for small steps'],
];

function SaveDialog({ tab }: { readonly tab: string }): ReactElement {
  const title = useEditor((state) => String(state.tabs.find((one) => one.id === tab)?.history.doc.meta['title'] ?? ''));
  const [name, setName] = useState(title === 'Untitled' ? '' : title);
  const save = (event: FormEvent): void => {
    event.preventDefault();
    if (name.trim()) void saveAs(tab, name.trim(), null);
  };
  return (
    <Frame title="Save on the server">
      <form onSubmit={save}>
        <label>
          Name
          {/* biome-ignore lint/a11y/noAutofocus: the only field of the dialog */}
          <input className="field-input boxed" autoFocus maxLength={100} value={name} onChange={(event) => setName(event.target.value)} />
        </label>
        <div className="buttons">
          <button type="button" className="button" onClick={() => show(null)}>
            Cancel
          </button>
          <button type="submit" className="button primary" disabled={!name.trim()}>
            Save
          </button>
        </div>
      </form>
    </Frame>
  );
}

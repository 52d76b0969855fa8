/** What became of a workflow of another program: told once, in full. */
import './ReportDialog.css';
import { CircleAlert, PackageX } from 'lucide-react';
import { type ReactElement, useState } from 'react';
import { type Dialog, show } from '../state/editor';
import { Frame } from './Frame';

const FORMATS: Readonly<Record<string, string>> = {
  nodegraph: 'a workflow of ours',
  'comfyui-ui': "the JSON of ComfyUI's editor",
  'comfyui-api': "ComfyUI's API JSON",
};
const FIRST = 30;

export function ReportDialog({ dialog }: { readonly dialog: Extract<Dialog, { kind: 'report' }> }): ReactElement {
  const { file, format, warnings, missing } = dialog.report;
  const [all, setAll] = useState(false);
  const count = missing.reduce((sum, one) => sum + one.count, 0);
  return (
    <Frame title={`Opened ${file}`} wide>
      <p className="report-lead">
        It is {FORMATS[format] ?? format}. Nothing of it is lost; this is what you should know before you run it.
      </p>
      {missing.length > 0 && (
        <section className="report">
          <h3>
            <PackageX size={14} /> {count === 1 ? 'One node is' : `${count} nodes are`} not installed
          </h3>
          <p>They are grey on the canvas, with all their values and links, and saved again as they are.</p>
          <ul>
            {missing.map((one) => (
              <li key={one.type}>
                <b>{one.type}</b>
                {one.count > 1 && ` × ${one.count}`}
                <small>{one.pack === null ? 'no pack is named in the file' : `of the pack ${one.pack}`}</small>
              </li>
            ))}
          </ul>
        </section>
      )}
      {warnings.length > 0 && (
        <section className="report">
          <h3>
            <CircleAlert size={14} /> {warnings.length === 1 ? 'One thing is' : `${warnings.length} things are`} different here
          </h3>
          <ul>
            {(all ? warnings : warnings.slice(0, FIRST)).map((warning) => (
              <li key={warning}>{warning}</li>
            ))}
          </ul>
          {!all && warnings.length > FIRST && (
            <button type="button" className="button small" onClick={() => setAll(true)}>
              Show all {warnings.length}
            </button>
          )}
        </section>
      )}
      <div className="buttons">
        <button type="button" className="button primary" onClick={() => show(null)}>
          Go on
        </button>
      </div>
    </Frame>
  );
}

/** Saved workflows with their versions. */
import { RotateCcw } from 'lucide-react';
import { type ReactElement, useEffect, useState } from 'react';
import { api } from '../network/api';
import { attempt } from '../state/actions';
import { newTab } from '../state/editor';
import { openSaved } from '../state/files';
import type { Kept, Version } from '../wire';
import { ago } from './ago';
import { Tool } from './TopBar';

export function FilesPanel(): ReactElement {
  const [files, setFiles] = useState<readonly Kept[] | null>(null);
  const [open, setOpen] = useState('');
  useEffect(() => {
    void attempt(() => api.workflows()).then((found) => setFiles(found ?? []));
  }, []);
  if (files === null) return <p className="quiet">Loading…</p>;
  if (files.length === 0) return <p className="quiet">Nothing is saved yet. Saved workflows keep all their versions here.</p>;
  return (
    <ul className="list">
      {files.map((file) => (
        <li key={file.name}>
          <button type="button" className="list-main" onClick={() => void openSaved(file.name)}>
            {file.thumbnail && <img src={file.thumbnail} alt="" />}
            <span>
              {file.name}
              <small>
                version {file.version} · {ago(file.modified)}
              </small>
            </span>
          </button>
          <Tool label={`Versions of ${file.name}`} onClick={() => setOpen(open === file.name ? '' : file.name)}>
            <RotateCcw size={13} />
          </Tool>
          {open === file.name && <VersionList name={file.name} />}
        </li>
      ))}
    </ul>
  );
}

function VersionList({ name }: { readonly name: string }): ReactElement {
  const [versions, setVersions] = useState<readonly Version[]>([]);
  useEffect(() => {
    void attempt(() => api.versions(name)).then((found) => setVersions(found ?? []));
  }, [name]);
  const open = async (number: number): Promise<void> => {
    const doc = await attempt(() => api.version(name, number));
    if (doc !== null) newTab({ ...doc, meta: { ...doc.meta, title: `${name}, version ${number}` } });
  };
  return (
    <ul className="versions">
      {versions.map((one) => (
        <li key={one.version}>
          <button type="button" onClick={() => void open(one.version)}>
            version {one.version} · {ago(one.modified)}
          </button>
        </li>
      ))}
    </ul>
  );
}

/** Saved workflows with their versions. */
import './FilesPanel.css';
import * as Menu from '@radix-ui/react-dropdown-menu';
import { EllipsisVertical, Workflow } from 'lucide-react';
import { type ReactElement, useEffect, useState } from 'react';
import { matcherOf } from '../document/words';
import { api } from '../network/api';
import { attempt } from '../state/actions';
import { newTab, useEditor } from '../state/editor';
import { copySaved, openSaved, removeSaved, renameSaved, restoreSaved, useSaved } from '../state/files';
import type { Kept, Version } from '../wire';
import { ago } from './ago';
import { Item, Rename } from './ListParts';
import { MyNodes } from './MyNodes';
import { SearchField } from './SearchField';

export function FilesPanel(): ReactElement {
  const [files, setFiles] = useState<readonly Kept[] | null>(null);
  const [query, setQuery] = useState('');
  const changes = useSaved((state) => state.changes);
  // biome-ignore lint/correctness/useExhaustiveDependencies: asked again after each change
  useEffect(() => {
    void attempt(api.workflows).then((found) => setFiles((known) => found ?? known ?? []));
  }, [changes]);
  if (files === null) return <p className="quiet">Loading…</p>;
  const fits = matcherOf(query);
  const found = files.filter((file) => fits(`${file.name} ${file.title}`));
  return (
    <>
      {files.length === 0 && <p className="quiet">Nothing is saved yet. Saved workflows keep all their versions here.</p>}
      {files.length > 0 && <SearchField label="Search saved workflows" value={query} onChange={setQuery} />}
      {files.length > 0 && found.length === 0 && <p className="quiet">None has all of these words.</p>}
      <ul className="list">
        {[...found]
          .sort((a, b) => b.modified - a.modified)
          .map((file) => (
            <FileItem key={file.name} file={file} taken={files.map((one) => one.name)} />
          ))}
      </ul>
      <MyNodes />
    </>
  );
}

interface FileProps {
  readonly file: Kept;
  readonly taken: readonly string[];
}

function FileItem({ file, taken }: FileProps): ReactElement {
  const [mode, setMode] = useState<'versions' | 'rename' | null>(null);
  const isOpen = useEditor((state) => state.tabs.some((tab) => tab.name === file.name));
  return (
    <li className="file-item">
      <button type="button" className="list-main" title={file.title || file.name} onClick={() => void openSaved(file.name)}>
        {file.thumbnail === null ? (
          <span className="file-thumb">
            <Workflow size={18} />
          </span>
        ) : (
          <img className="file-thumb" src={`${file.thumbnail}?${Math.round(file.modified)}`} alt="" loading="lazy" />
        )}
        <span className="file-words">
          <b>{file.name}</b>
          <small>
            version {file.version} · {ago(file.modified)}
            {isOpen && ' · open'}
          </small>
        </span>
      </button>
      <Menu.Root modal={false}>
        <Menu.Trigger className="tool" aria-label={`More about ${file.name}`}>
          <EllipsisVertical size={14} />
        </Menu.Trigger>
        <Menu.Portal>
          <Menu.Content className="menu" sideOffset={4} align="end" onCloseAutoFocus={(event) => event.preventDefault()}>
            <Item label="Open" onSelect={() => void openSaved(file.name)} />
            <Item label="Versions" onSelect={() => setMode(mode === 'versions' ? null : 'versions')} />
            <Item label="Rename" onSelect={() => setMode('rename')} />
            <Item label="Duplicate" onSelect={() => void copySaved(file, taken)} />
            <Item label="Delete" onSelect={() => void removeSaved(file)} />
          </Menu.Content>
        </Menu.Portal>
      </Menu.Root>
      {mode === 'versions' && <VersionList file={file} />}
      {mode === 'rename' && (
        <Rename
          name={file.name}
          onEnd={(name) => {
            setMode(null);
            if (name !== null) void renameSaved(file, name);
          }}
        />
      )}
    </li>
  );
}

function VersionList({ file }: { readonly file: Kept }): ReactElement {
  const [versions, setVersions] = useState<readonly Version[] | null>(null);
  // biome-ignore lint/correctness/useExhaustiveDependencies: what is saved becomes a version
  useEffect(() => {
    void attempt(() => api.versions(file.name)).then((found) => setVersions(found ?? []));
  }, [file.name, file.etag]);
  const look = async (number: number): Promise<void> => {
    const doc = await attempt(() => api.version(file.name, number));
    if (doc !== null) newTab({ ...doc, meta: { ...doc.meta, title: `${file.name}, version ${number}` } });
  };
  if (versions === null) return <p className="quiet">Loading…</p>;
  return (
    <ol className="versions" aria-label={`Versions of ${file.name}`}>
      {versions.map((one) => (
        <li key={one.version}>
          <span title={new Date(one.modified * 1000).toLocaleString()}>
            {one.version}
            <small>{ago(one.modified)}</small>
          </span>
          <button type="button" className="button small" onClick={() => void look(one.version)}>
            Look
          </button>
          {one.etag === file.etag ? (
            <small className="version-now">now</small>
          ) : (
            <button type="button" className="button small" onClick={() => void restoreSaved(file.name, one.version)}>
              Restore
            </button>
          )}
        </li>
      ))}
    </ol>
  );
}

/** The workflows that are shipped, to begin with. */
import { type ReactElement, useEffect, useState } from 'react';
import { api } from '../network/api';
import { attempt } from '../state/actions';
import { newTab, show } from '../state/editor';
import { openTemplate } from '../state/files';
import type { Template } from '../wire';
import { Frame } from './Frame';

export function Gallery(): ReactElement {
  const [templates, setTemplates] = useState<readonly Template[] | null>(null);
  useEffect(() => {
    void attempt(() => api.templates()).then((found) => setTemplates(found ?? []));
  }, []);
  return (
    <Frame title="Begin with" wide>
      <div className="gallery">
        {templates === null && <p className="quiet">Loading…</p>}
        {templates?.map((one) => (
          <button type="button" key={one.name} className="card" onClick={() => void openTemplate(one.name)}>
            {one.picture !== null ? <img src={one.picture} alt="" loading="lazy" /> : <span className="no-picture" />}
            <b>{one.title}</b>
            <span>{one.description}</span>
          </button>
        ))}
        <button
          type="button"
          className="card"
          onClick={() => {
            newTab();
            show(null);
          }}
        >
          <span className="no-picture">+</span>
          <b>Empty canvas</b>
          <span>Build it from nothing.</span>
        </button>
      </div>
    </Frame>
  );
}

/** Wiring only. */
import '@xyflow/react/dist/style.css';
import './style.css';
import { StrictMode } from 'react';
import { createRoot } from 'react-dom/client';
import { attachKeys } from './gestures/keys';
import { start } from './state/actions';
import { keepThumbnails } from './state/files';
import { App } from './view/App';
import { Catcher } from './view/Catcher';

document.documentElement.dataset['theme'] = localStorage.getItem('theme') ?? 'dark';
attachKeys();
createRoot(document.getElementById('root')!).render(
  <StrictMode>
    <Catcher>
      <App />
    </Catcher>
  </StrictMode>,
);
keepThumbnails();
void start();

/** The dialogs for pictures, fetched when the first of them is opened. */
import { type ComponentType, lazy, type ReactElement, Suspense, useEffect } from 'react';
import { type Dialog, show, tell } from '../../state/editor';

type Kinds = 'viewer' | 'paint' | 'vary' | 'batch';
type Shown<K extends Kinds> = { readonly dialog: Extract<Dialog, { kind: K }> };

const Viewer = fetched<Shown<'viewer'>>(() => import('./Viewer').then((module) => module.Viewer));
const PaintDialog = fetched<Shown<'paint'>>(() => import('./PaintDialog').then((module) => module.PaintDialog));
const BatchDialog = fetched(() => import('./BatchDialog').then((module) => module.BatchDialog));
const BatchGrid = fetched<Shown<'batch'>>(() => import('./BatchGrid').then((module) => module.BatchGrid));

export function PictureDialog({ dialog }: Shown<Kinds>): ReactElement {
  return <Suspense fallback={null}>{pick(dialog)}</Suspense>;
}

function pick(dialog: Shown<Kinds>['dialog']): ReactElement {
  switch (dialog.kind) {
    case 'viewer':
      return <Viewer dialog={dialog} />;
    case 'paint':
      return <PaintDialog dialog={dialog} />;
    case 'vary':
      return <BatchDialog />;
    case 'batch':
      return <BatchGrid dialog={dialog} />;
  }
}

function fetched<P extends object>(load: () => Promise<ComponentType<P>>): ComponentType<P> {
  return lazy(async () => ({ default: await load().catch(() => Missing as ComponentType<P>) }));
}

/** The server went away before this part of the editor was fetched. */
function Missing(): null {
  useEffect(() => {
    show(null);
    tell('The server does not answer: this part of the editor was not fetched yet.', 'error', 'Load the page again when it does.');
  }, []);
  return null;
}

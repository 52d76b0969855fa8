/** The dialogs for pictures, fetched when the first of them is opened. */
import { type ComponentType, lazy, type ReactElement, Suspense, useEffect } from 'react';
import { type Dialog, show, tell } from '../../state/editor';

type Kinds = 'viewer' | 'paint';
type Shown<K extends Kinds> = { readonly dialog: Extract<Dialog, { kind: K }> };

const Viewer = fetched<Shown<'viewer'>>(() => import('./Viewer').then((module) => module.Viewer));
const PaintDialog = fetched<Shown<'paint'>>(() => import('./PaintDialog').then((module) => module.PaintDialog));

export function PictureDialog({ dialog }: Shown<Kinds>): ReactElement {
  return <Suspense fallback={null}>{dialog.kind === 'viewer' ? <Viewer dialog={dialog} /> : <PaintDialog dialog={dialog} />}</Suspense>;
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

/** A fault of the editor itself: told, with the way on. What was open is in the drafts. */
import { Component, type ReactNode } from 'react';

export class Catcher extends Component<{ readonly children: ReactNode }, { readonly error: Error | null }> {
  override state = { error: null as Error | null };

  static getDerivedStateFromError(error: Error): { error: Error } {
    return { error };
  }

  override render(): ReactNode {
    const { error } = this.state;
    if (error === null) return this.props.children;
    return (
      <div className="hint" role="alert">
        <h2>The editor met a fault of its own</h2>
        <p>Nothing is lost: what was open is kept in this browser. {error.message}</p>
        <button type="button" className="button primary" onClick={() => location.reload()}>
          Load again
        </button>
      </div>
    );
  }
}

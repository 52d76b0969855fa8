"""Whatever goes wrong inside a window is seen by the tests."""

from __future__ import annotations

from tests.browser.editor import Editor

WRONG = {
    "console: oh": "console.error('oh')",
    "thrown: oh": "setTimeout(() => { throw new Error('oh') })",
    "inline script violates": "document.head.append(Object.assign(document.createElement('script'), {textContent: 'window.oh = 1'}))",
    "127.0.0.2": "fetch('http://127.0.0.2:9/oh').catch(() => 0)",
    "status of 404": "fetch('oh').catch(() => 0)",
}
MOST_FRAMES = 1000


def test_what_goes_wrong_is_seen(editor: Editor) -> None:
    assert editor.faults() == []
    for told, code in WRONG.items():
        editor.page.evaluate(f"() => {{ {code} }}")
        for _ in range(MOST_FRAMES):
            if any(told in fault for fault in editor.faults()):
                break
            editor.page.evaluate("new Promise(requestAnimationFrame)")
        else:
            raise AssertionError(f"not seen: {told}, but {editor.faults()}")
    assert editor.page.evaluate("window.oh") is None
    editor.allow("")
    assert editor.faults() == []

"""No folder of this machine is told by a run that fails, whoever asks and however."""

from __future__ import annotations

import aiohttp
from comfy_client import Client
from engine_worker import EngineWorker, engine
from v1_api import Api, play

from nodegraph import Context, node
from nodegraph.server.setup.config import ServeSettings


@node("Leaky", category="test", output=True)
def leaky(ctx: Context, folder: str) -> None:
    """Say everywhere where the folder is, and fail."""
    ctx.log(f"looking into {folder}/a")
    ctx.progress(1, 2, text=f"in {folder}/b")
    raise OSError(f"cannot read {folder}/c.png")


def test_a_failure_names_folders_by_what_they_are_for(settings: ServeSettings) -> None:
    worker = EngineWorker(engine(settings.state.parent, leaky))
    folder, hidden = str(settings.input), str(settings.state.parent)

    async def scene(api: Api) -> None:
        client = Client(api.live.address, api.live.session)
        async with client.ear("ada", {"supports_preview_metadata": True}) as ear:
            id = await client.submit({"1": {"class_type": "Leaky", "inputs": {"folder": folder}}}, "ada")
            heard = await ear.until_end(id)
        (failed,) = [message["data"] for message in heard if message["type"] == "execution_error"]
        assert "cannot read <input>/c.png" in failed["exception_message"]
        assert any(b"in <input>/b" in frame for frame in ear.frames)
        told = [str(heard), str(ear.frames)]
        told += [str(await client.get(path)) for path in ("/history?max_items=1", f"/history/{id}", "/api/jobs")]
        told = [text.replace(f"'folder': '{folder}'", "") for text in told]  # what the client itself sent
        told.append(str(await api.get(f"/runs/{id}")))
        told.append(str(await api.get(f"/runs/{id}/log")))
        async with api.live.session.get(f"{api.live.address}/api/v1/runs/{id}/events") as answer:
            told.append(await answer.text())
        async with api.live.session.ws_connect(f"{api.live.address}/api/v1/runs/{id}/socket") as socket:
            told += [message.data async for message in socket if message.type is aiohttp.WSMsgType.TEXT]
        assert sum("<input>/c.png" in text for text in told) >= 6
        assert not [text for text in told if hidden in text]

    play(settings, scene, worker=worker)

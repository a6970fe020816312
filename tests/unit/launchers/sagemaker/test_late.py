"""What reaches SageMaker and S3 after its run was given up is found, and goes."""

from pathlib import Path

import pytest
from tests.unit.launchers.sagemaker.conftest import launcher_with, settings_for

from support.bucket import open_bucket
from support.sagemaker import FakeSageMaker
from tunegate.launchers.sagemaker.settings import SageMakerSettings
from tunegate.sdk.launcher import FINISHED
from tunegate.sdk.testing.launcher import LauncherConformance
from tunegate.sdk.testing.s3_server import S3Server

pytestmark = pytest.mark.s3
SUITE = LauncherConformance()


@pytest.mark.parametrize("late", ["runs/{}/files/claim-grant.json", "requests/{}.remove"])
async def test_a_late_object(
    settings: SageMakerSettings, s3_server: S3Server, tmp_path: Path, late: str
) -> None:
    launcher = launcher_with(settings, tmp_path)
    await launcher.start()
    async with open_bucket(s3_server) as store:
        await store.write(settings.s3_prefix + late.format("tg-late-1"), b"{}")
        assert await launcher.list_runs() == ["tg-late-1"]
        await launcher.cleanup("tg-late-1")
        assert await launcher.list_runs() == []
        assert [info.uri async for info in store.list(settings.s3_prefix)] == []
    await launcher.close()


@pytest.mark.parametrize("keep_records", [False, True])
async def test_a_late_training_job(
    sagemaker: FakeSageMaker, settings: SageMakerSettings, s3_server: S3Server, tmp_path: Path,
    keep_records: bool,
) -> None:  # fmt: skip
    """It ends at once, as its files are gone; an operator who keeps records keeps this one too."""
    chosen = settings_for(sagemaker.url, s3_server, keep_records=keep_records)
    launcher = launcher_with(chosen, tmp_path)
    await launcher.start()
    run = SUITE.run("print('done')")
    await launcher.submit(run)
    await SUITE.until(launcher, run.name, *FINISHED)
    async with open_bucket(s3_server) as store:
        for uri in [info.uri async for info in store.list(chosen.s3_prefix)]:
            await store.delete(uri)
    assert await launcher.list_runs() == ([] if keep_records else [run.name])
    await launcher.cleanup(run.name)
    assert await launcher.list_runs() == []
    assert len(sagemaker.jobs) == keep_records
    await launcher.close()

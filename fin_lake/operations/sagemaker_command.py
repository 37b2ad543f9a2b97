"""`fin-lake sagemaker`: the Pipeline of training, registration and scoring."""

from __future__ import annotations

import json

import click

from fin_lake.settings import SettingsError, load_settings


@click.group()
def sagemaker() -> None:
    """Show or make what SageMaker runs by itself.

    Models are trained by Dagster: the job train_model, here or in SageMaker.
    """


@sagemaker.command()
@click.option("--apply", is_flag=True, help="Make the Pipeline in the account of the settings.")
@click.option("--horizon-bars", type=click.Choice(["1", "4", "24"]), default="1", show_default=True)
@click.option("--model", type=click.Choice(["ridge", "boosting"]), default="ridge", show_default=True)
def pipeline(
    apply: bool,  # noqa: FBT001 - click passes options so
    horizon_bars: str,
    model: str,
) -> None:
    """Print the definition of the SageMaker Pipeline that trains, registers and scores.

    It has the same steps as the job train_model; its parameters name the folders of rows, which the assets
    ml/training_set and ml/predictions write.

    \b
    Examples:
      fin-lake sagemaker pipeline > pipeline.json
      fin-lake sagemaker pipeline --apply
    """  # noqa: D301 - click's mark of a block is a backspace character
    settings = load_settings()
    from fin_lake.engines.sagemaker import requests

    if not settings.sagemaker_role:
        raise SettingsError(
            "FIN_LAKE_SAGEMAKER_ROLE is not set",
            "set it to the role that SageMaker's jobs have: arn:aws:iam::ACCOUNT:role/fin-lake-sagemaker",
        )
    definition = requests.pipeline(settings, {"horizon-bars": horizon_bars, "model": model})
    if not apply:
        click.echo(json.dumps(definition, indent=2))
        return
    from fin_lake.engines.sagemaker.runner import SageMaker

    click.echo(SageMaker(settings).apply_pipeline(definition))

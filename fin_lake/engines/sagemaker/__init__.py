"""SageMaker: training, registering and scoring of models, here or in AWS by the same script."""

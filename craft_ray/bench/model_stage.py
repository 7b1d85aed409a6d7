"""The model alone against the pipeline."""

from craft_ray.model.inference import Model
from craft_ray.model.windows import Windows


def predict_windows(model: Model, windows: Windows) -> object:
    """Run the model over windows and return its label ids and scores."""
    return model.predict(windows.token_ids, windows.window_length, windows.word_piece)

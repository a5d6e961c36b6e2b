"""Quantus' metrics on an ONNX model, by family: python tools/python/quantus_metrics.py MODEL.onnx PHOTO... [--method NAME] [--masks]

Prints a Markdown table. Needs quantus 0.6 (which needs torch or tensorflow to be imported) and candor. Each metric is given photos, the
model's answers, and maps made by Candor; localisation metrics get the central part of the photo as the mask, so that this only shows that they run.
"""

import argparse
import time
import warnings

import candor
import numpy as np
import quantus

#: Settings that limit a metric to a few seconds.
METRICS = {
    "Faithfulness": {
        "PixelFlipping": {"features_in_step": "STEP", "perturb_baseline": "mean"},
        "FaithfulnessCorrelation": {"nr_runs": 20, "subset_size": 1024, "perturb_baseline": "mean"},
        "FaithfulnessEstimate": {"features_in_step": "STEP", "perturb_baseline": "mean"},
        "Monotonicity": {"features_in_step": "STEP", "perturb_baseline": "mean"},
        "RegionPerturbation": {"patch_size": "PATCH", "regions_evaluation": 4},
        "Selectivity": {"patch_size": "PATCH"},
        "ROAD": {"percentages": [20, 40, 60]},
        "Sufficiency": {},
    },
    "Robustness": {
        "MaxSensitivity": {"nr_samples": 3},
        "AvgSensitivity": {"nr_samples": 3},
        "LocalLipschitzEstimate": {"nr_samples": 3},
        "RelativeInputStability": {"nr_samples": 3},
        "RelativeOutputStability": {"nr_samples": 3},
        "RelativeRepresentationStability": {"nr_samples": 3},
    },
    "Localisation": {"PointingGame": {}, "AttributionLocalisation": {}, "TopKIntersection": {}, "RelevanceRankAccuracy": {}, "RelevanceMassAccuracy": {}, "AUC": {}},
    "Complexity": {"Sparseness": {}, "Complexity": {}, "EffectiveComplexity": {}},
    "Randomisation": {"MPRT": {"return_last_correlation": True}, "RandomLogit": {"num_classes": None}},
    "Axiomatic": {"NonSensitivity": {"features_in_step": "STEP"}, "InputInvariance": {}, "Completeness": {}},
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model")
    parser.add_argument("photos", nargs="+")
    parser.add_argument("--method", default="grad-cam")
    parser.add_argument("--preset")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    model = candor.load(arguments.model, preset=arguments.preset)
    x = np.stack([model.preprocess(photo) for photo in arguments.photos])
    y = model.logits(x).argmax(axis=1)
    c, h, w = model.input_shape
    masks = np.zeros((len(x), 1, h, w))
    masks[:, :, h // 4 : 3 * h // 4, w // 4 : 3 * w // 4] = 1
    print("| family | metric | mean score | seconds |\n|---|---|---|---|")
    ran = 0
    for family, metrics in METRICS.items():
        for name, settings in metrics.items():
            known = {None: model.classes, "STEP": h * w // 16, "PATCH": h // 4}
            settings = {k: known.get(v, v) if not isinstance(v, list) else v for k, v in settings.items()}
            start = time.perf_counter()
            try:
                metric = getattr(quantus, name)(disable_warnings=True, display_progressbar=False, **settings)
                scores = metric(
                    model=model, x_batch=x, y_batch=y, a_batch=None, s_batch=masks, explain_func=candor.quantus.explain_func,
                    explain_func_kwargs={"method": arguments.method, "channels": name == "ROAD"}, batch_size=len(x),
                )
                shown, ran = f"{np.nanmean(numbers(scores)):.4g}", ran + 1
            except Exception as error:  # failures of a metric are part of the table
                shown = f"{type(error).__name__}: {' '.join(str(error).split())[:120]}"
            print(f"| {family} | {name} | {shown} | {time.perf_counter() - start:.1f} |", flush=True)
    print(f"\n{ran} metrics ran.")


def numbers(scores: object) -> np.ndarray:
    """All scores as one array."""
    values = list(scores.values()) if isinstance(scores, dict) else scores
    return np.concatenate([np.ravel(np.asarray(v, dtype=float)) for v in values])


if __name__ == "__main__":
    main()

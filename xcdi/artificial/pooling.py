"""Raw material of the judge: what a benchmark pools over many simulated experiments."""

from __future__ import annotations

from typing import Any

import numpy as np

from xcdi.artificial.compared import Compared
from xcdi.artificial.score_attribution import ascribed
from xcdi.artificial.score_events import SIZED, Hearing, hear, shift_errors
from xcdi.artificial.score_grains import boundary_matches, grain_counts
from xcdi.artificial.score_phasing import grade_is_true, shape_overlap
from xcdi.artificial.score_strain import held, robust, tilt_errors

__all__ = ["raw_material"]


def raw_material(seen: Compared) -> dict[str, Any]:
    """Return plain numbers, words and lists; a key is absent where the results do not answer.

    Returns
    -------
    dict
        Of every particle:

        - ``case``, ``suite``, ``seed``, ``config``.

        Of phasing:

        - ``overlap``, ``shape_overlap``; ``grade``, ``grade_true``, ``agreement``, ``n_good``, ``starts``.

        Of strain, away from boundaries, beyond the mean:

        - ``strain_rms``, ``strain_robust``, ``strain_stated`` (median of the stated error), ``strain_correlation``, ``strain_slope``,
          ``strain_share`` (of the true inside that has a strain), ``tilt_rms`` [rad];
          ``grain_strain`` and ``grain_tilt_deg``, errors of each grain (of both tilts, one after the other).

        Of grains:

        - ``grains_found``, ``grains_true``, ``rand``; ``normal_deg``, ``area_ratio`` of each large boundary in both.

        Of events; the lists of one letter case go together:

        - ``frames``, ``mean_count``; ``reported`` (internal detections), ``false`` (of them), ``set_aside`` (flagged rigid or artefact).
        - per event that can be asked for whatever its size, in order: ``event_drop`` (noise-free, N3), ``event_found`` (bool).
        - per event asked for and found: ``time_error`` [frame], ``drop_ratio`` (measured over noise-free) and ``drop_true``
          (from a drop of 0.05 on); ``rank`` (of the right boundary, 0 if not named, None if nothing is said), ``moved`` (bool or None).
        - per visible event met within a frame: ``pair_drop`` (measured), ``pair_fraction`` (true).
        - per two events too close to part: ``merged`` (bool). ``hidden_reported``: slips by a lattice period that were reported.
        - ``shift_error`` [px] of a step of the whole pattern, if it was detected: rows, columns.
    """
    config = seen.truth.config
    found: dict[str, Any] = {"suite": config.get("suite", "particle"), "seed": int(seen.truth["seed"]), "config": config}
    if found["suite"] not in ("particle", "crystal"):
        return found
    found |= {"case": seen.case.name} | _phasing(seen) | _strain(seen) | _grains(seen)
    heard = hear(seen)
    return found if heard is None else found | _events(heard) | _told(seen, heard)


def _phasing(seen: Compared) -> dict[str, Any]:
    if seen.image is None:
        return {}
    found: dict[str, Any] = {"overlap": seen.image.overlap, "shape_overlap": shape_overlap(seen.image)}
    if seen.grade is not None:
        found |= {"grade": seen.grade, "grade_true": grade_is_true(seen.grade, seen.image.overlap)}
    kept, agreement = seen["entry_1/image_1/kept"], seen.note("entry_1/image_1", "agreement")
    found |= {} if kept is None else {"n_good": int(np.sum(kept)), "starts": len(kept)}
    return found | ({} if agreement is None else {"agreement": float(agreement)})


def _strain(seen: Compared) -> dict[str, Any]:
    inside = held(seen)
    if inside is None:
        return {}
    error, stated, tilts = inside.error, seen["entry_1/strain_error"], tilt_errors(seen, inside)
    found = {
        "strain_rms": float(np.sqrt((error**2).mean())),
        "strain_robust": robust(error),
        "strain_share": inside.share,
        "grain_strain": inside.of_grains(error).tolist(),
    }
    if inside.true.std() > 0:
        found["strain_correlation"] = float(np.corrcoef(inside.strain, inside.true)[0, 1])
        found["strain_slope"] = float(np.polyfit(inside.true, inside.strain, 1)[0])
    if stated is not None:
        found["strain_stated"] = float(np.nanmedian(stated[inside.where]))
    if tilts is not None:
        found["tilt_rms"] = float(np.sqrt((tilts**2).mean()))
        found["grain_tilt_deg"] = np.degrees([inside.of_grains(tilt) for tilt in tilts]).ravel().tolist()
    return found


def _grains(seen: Compared) -> dict[str, Any]:
    counted, faces = grain_counts(seen), boundary_matches(seen)
    found: dict[str, Any] = {} if counted is None else dict(zip(("grains_found", "grains_true", "rand"), counted, strict=True))
    return found if faces is None else found | {"normal_deg": faces.normal_deg, "area_ratio": faces.area_ratio}


def _events(heard: Hearing) -> dict[str, Any]:
    wide = heard.askable
    met = {t for t, _ in heard.every} | {t for t, _ in heard.matches.pairs}
    sized = [(t, d) for t, d in heard.matches.pairs if heard.same[t] >= SIZED]
    return {
        "frames": heard.length,
        "reported": len(heard.internal),
        "false": len(heard.matches.false),
        "set_aside": len(heard.flags) - len(heard.internal),
        "event_drop": [float(heard.large[t]) for t in wide],
        "event_found": [bool(t in met) for t in wide],
        "time_error": [heard.error(t, d) for t, d in heard.matches.pairs],
        "drop_ratio": heard.ratios().tolist(),
        "drop_true": [float(heard.same[t]) for t, _ in sized],
        "pair_drop": [float(heard.drop[d]) for _, d in heard.every],
        "pair_fraction": [float(heard.fraction[t]) for t, _ in heard.every],
        "merged": heard.doublets(),
        "hidden_reported": heard.hidden_reported(),
    }


def _told(seen: Compared, heard: Hearing) -> dict[str, Any]:
    told = ascribed(seen, heard)
    return {
        "mean_count": float(seen.truth.config.get("mean_count", 1.0)),
        "rank": [one.rank for one in told],
        "moved": [one.moved for one in told],
        "shift_error": shift_errors(seen, heard),
    }

"""Names that were given up, and the few places where one of them has to stay.

``test_retired.py`` fails on any use of them outside the changelog, so that no old
name comes back with an old branch. Put a name here once nothing uses it any more.
Ordinary English words do not belong here, unless the project had invented a meaning.
"""

from __future__ import annotations


def _names(block: str) -> frozenset[str]:
    return frozenset(block.split())


# Invented words, wherever they stand: prose, identifiers, log events, error texts.
WORDS = (
    *("bell", "doorbell", "piece", "desk", "workshop", "twin", "courier", "leash"),
    *("litter", "bereave", "bury", "ripen", "rung"),
)

# Where an invented word stays, as a pattern that is taken out before the search.
ALIASES = {
    r"\bpiece[:']": "the Redis keys of tasks, which outlive an upgrade",
    r"\blitter(?=[\":'])": "the stored kind of a cleanup, in its Redis key",
    r"\brung\b": "the field of an attempt, in the API and in stored records",
    r'"title": "Rung"': "the title of that field, which pydantic derives",
}

# Classes, functions, parameters and variables of Python.
IDENTIFIERS = _names(
    """
    Arrival Arrivals Aside Chore Climb Couriers Door Hall Home Intake KeyGuard Lab
    Judgement Meters NoticeError NoticeRecord Notices Pen Shop Shot Stretch Sweep
    UploadDesk Verdict Waiters World
    arrival arrivals asked asked_time chore chores clear_dead_homes couriers
    clear_dead_scratch_dirs Channels
    day_counter day_is_over defer_chore door finish_chore hall headline intake lab
    lab_client make_hall
    make_lab make_shop make_world meters movie notice notice_event notice_id notices
    picture_of print_ replay_notice revive shoot shop tend waiters world
    """
)

# Functions and variables of Lua.
LUA_IDENTIFIERS = _names(
    """
    APART adopt apart batch_chore bear chores_of drop_notice end_notice end_steward
    go_on got_on let_go make_piece note_away once pieces_of read_piece revive ring
    ring_later steward_of tell_parent tell_twins
    """
)

# Events of the log.
EVENTS = _names(
    """
    arrival.key_unknown chore.deferred chore.done dispatch.bells_lost
    dispatch.ring_failed job.twin_lost notice.abandoned notice.beat_missed notice.defect
    delivery.abandoned delivery.beat_missed delivery.defect delivery.delivered
    delivery.failed delivery.skipped task.given_back
    notice.delivered notice.skipped piece.abandoned piece.death_not_counted piece.lost
    piece.skipped piece.worker_died render.litter_left sweep.broker_away sweep.outage
    sweep.rings_left sweep.started sweep.stopped sweep.stopping sweep.store_away
    sweep.store_back
    """
)

# Modules, by their dotted names. ``worker.sweep`` is the alias of an entry point.
MODULES = _names(
    """
    api.asked api.batch_results api.batch_views api.bodies api.client_commands
    api.client_sources api.edge api.faults api.guard api.incoming
    api.jobs.destinations api.jobs.outputs api.key_commands
    api.key_webhooks api.meters api.notice_views api.ops api.present api.repeats
    api.schema api.stream api.upload_views api.waiting common.arrivals common.blobs
    common.config common.dispatch common.intake common.jobstore common.outage
    common.sections common.setting_types deploy.allinone.leash worker.attempt
    worker.batch worker.deliver worker.egress.addresses worker.egress.door
    worker.media.check worker.media.facts worker.media.program
    worker.media.recipes.fitting worker.media.recipes.headline
    worker.media.recipes.look worker.media.recipes.moment worker.media.recipes.movie
    worker.media.recipes.passes worker.media.recipes.planes
    worker.media.recipes.sheet worker.media.recipes.standin
    worker.media.recipes.best_frame.histograms worker.media.recipes.shared.encode
    worker.media.recipes.stretch worker.media.shapes worker.media.warnings worker.reuse
    worker.verdict
    """
)

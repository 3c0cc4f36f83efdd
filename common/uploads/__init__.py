"""Uploads over several requests: presigned, in parts, or resumable (tus)."""

from common.uploads.appending import Appender
from common.uploads.sessions import MIN_SPLIT_BYTES, Mode, NewUpload, Upload, Uploads

__all__ = ["MIN_SPLIT_BYTES", "Appender", "Mode", "NewUpload", "Upload", "Uploads"]

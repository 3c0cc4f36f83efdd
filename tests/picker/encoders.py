"""Sizes, encoders and camera moves that the second set is made with."""

from __future__ import annotations

VGA, SD = (640, 480), (720, 576)
HD, FULL_HD, UHD = (1280, 720), (1920, 1080), (3840, 2160)
X264 = ("-c:v", "libx264", "-preset", "superfast")
GOP_HALF = (*X264, "-g", "12", "-sc_threshold", "0")
GOP_TWO = (*X264, "-g", "50", "-sc_threshold", "0")
GOP_FIVE = (*X264, "-g", "125")
OPEN_GOP = (*X264, "-g", "48", "-bf", "3", "-x264-params", "open-gop=1")
X265 = ("-c:v", "libx265", "-preset", "ultrafast", "-x265-params", "log-level=none")
AV1 = ("-c:v", "libsvtav1", "-preset", "12", "-crf", "40", "-g", "120")
VP8 = ("-c:v", "libvpx", "-deadline", "realtime", "-cpu-used", "8", "-b:v", "1M")
VP9 = ("-c:v", "libvpx-vp9", "-deadline", "realtime", "-cpu-used", "8", "-b:v", "1M")
MPEG2 = ("-c:v", "mpeg2video", "-q:v", "4", "-g", "12", "-bf", "2")
FIELDS = (*MPEG2, "-flags", "+ildct+ilme")
MJPEG = ("-c:v", "mjpeg", "-q:v", "6")
RUN = "scale=3*iw:-2,crop=iw/3:ih/3:t*260:200,{same}"
BARS = "smptebars=s=640x360:r=24"
PULSE = "testsrc2=s=640x360:r=24"

"""List the demuxers that FFmpeg and the probe may use.

They read films, animated and still pictures, and audio. Playlists (HLS, DASH, concat,
SDP) are refused because they name other files; SVG and text because FFmpeg would draw
them (SECURITY.md names the attacks).
"""

from __future__ import annotations

FORMATS = (
    "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpegts,mpeg,mpegvideo,flv,asf,ogg,"
    "mxf,rm,dv,nut,wtv,ivf,obu,h264,hevc,vvc,h263,m4v,av1,vc1,cavsvideo,mjpeg,"
    "yuv4mpegpipe,gif,apng,webp_anim,webp_pipe,png_pipe,jpeg_pipe,bmp_pipe,tiff_pipe,"
    "mp3,flac,wav,w64,aac,ac3,aiff,amr,caf,au"
)
ANIMATED_WEBP = "webp_anim"
PROTOCOLS = "file,pipe"
MAX_STREAMS = 200

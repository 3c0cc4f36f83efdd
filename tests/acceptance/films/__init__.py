"""Films whose every frame says which one it is.

They are made when they are needed, with the FFmpeg of the project, and each keeps one
condition: a codec, a container, a rate, a length, a clock, a shape. `catalogue.FILMS`
lists them, `make.film` makes one or takes it from the cache, `proof` decodes it anew
and compares what it shows with what its description states. Write all of them, and
`films.json`, which describes them, to a folder::

    python -m tests.acceptance.films DIR [--long]

An entry of `films.json` has these fields:

`file`, `name`, `condition`
    The file's name in the folder; a short name; what the film is there for.
`fps`
    Frames a second, a number or `"num/den"`: the rate at which the numbers advance.
`start`
    When the first numbered frame is shown, in seconds on the film's timeline. Its zero
    is the container's start, so a first frame can lie before it.
`first`, `frames`
    The number of the first frame; how many there are, one number after the other.
`times`
    The frames' times, only where they are not `start + k / fps`.
`duration`
    When the last frame ends, on the same timeline. Sound may go on after that.
`size`
    Width and height as shown: upright, with square pixels.
`bits`
    Of the number, which names the grid of `tests.acceptance.marks`.
`cuts`
    Numbers of the frames with which a new shot begins.
`expected_warnings`, `allowed_warnings`
    Codes that the job or an output must hold, and those that it may hold as well.
`expected_errors`
    The error's code by kind of output, or by `"*"`, where one is right.
`long`, `options`
    Whether the film is kept out of the fast part of the suite; whether every option is
    asked of it.
"""

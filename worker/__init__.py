"""The worker: turn a video into pictures, and deliver the events of its job."""

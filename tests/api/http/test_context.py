"""Each request has a context of its own, whatever it shares with the one before."""

from flask import Flask

from api.http import context


def test_a_request_never_sees_the_context_of_the_one_before():
    app = Flask("test")
    app.before_request(lambda: context.begin() and None)
    seen = []

    @app.get("/")
    def view():
        seen.append(context.current())
        assert context.current() is seen[-1]
        return context.current().request_id

    # One application context around both: they share flask.g.
    with app.app_context(), app.test_client() as client:
        first = client.get("/", headers={"X-Request-Id": "a1"}).text
        second = client.get("/").text
    assert first == "a1"
    assert len(second) == 32
    assert seen[0] is not seen[1]

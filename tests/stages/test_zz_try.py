from tests.stages.test_crawl import *
from tests.stages.test_crawl import _live, _crawl
def test_x():
    with open_museums(SIZES, tiny=True) as museums:
        run("index", "--stand-in", museums.address)
        n = len(museums.visits)
        run("index", "--stand-in", museums.address)
        for v in museums.visits[n:]: print(v)

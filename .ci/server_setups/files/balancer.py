"""A TCP balancer: PORT ORIGIN..., each connection to the next origin.

"random" as first origin: each connection to any of them.
"""

import asyncio
import itertools
import random
import sys

PORT, ORIGINS = int(sys.argv[1]), sys.argv[2:]
if ORIGINS[0] == "random":
    rng = random.Random(1)
    origins = iter(lambda: rng.choice(ORIGINS[1:]), None)
else:
    origins = itertools.cycle(ORIGINS)


async def copy(reader, writer):
    try:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    except OSError:
        pass
    finally:
        writer.close()


async def serve(reader, writer):
    try:
        there = await asyncio.open_connection("127.0.0.1", int(next(origins)))
    except OSError:
        writer.close()
        return
    await asyncio.gather(copy(reader, there[1]), copy(there[0], writer))


async def main():
    async with await asyncio.start_server(serve, "127.0.0.1", PORT) as server:
        await server.serve_forever()


asyncio.run(main())

"""A TCP relay: PORT ORIGIN SECONDS. The first line of a request is SECONDS ahead of the rest."""

import asyncio
import sys

PORT, ORIGIN, SECONDS = int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])


async def copy(reader, writer, dribble):
    try:
        while data := await reader.read(65536):
            line, end, rest = data.partition(b"\r\n")
            if dribble and rest:
                writer.write(line + end)
                await writer.drain()
                await asyncio.sleep(SECONDS)
                data = rest
            writer.write(data)
            await writer.drain()
    except OSError:
        pass
    finally:
        writer.close()


async def serve(reader, writer):
    try:
        there = await asyncio.open_connection("127.0.0.1", ORIGIN)
    except OSError:
        writer.close()
        return
    await asyncio.gather(copy(reader, there[1], True), copy(there[0], writer, False))


async def main():
    async with await asyncio.start_server(serve, "127.0.0.1", PORT) as server:
        await server.serve_forever()


asyncio.run(main())

/* Prints the offset of the local clock from a server's: query http://192.0.2.1/ */
#include <httptime.h>
#include <stdio.h>

int main(int argc, char **argv)
{
    httptime_measurement m;
    m.struct_size = sizeof m;
    httptime_status status =
        httptime_query((const char *const *)argv + 1, (size_t)(argc - 1), NULL, &m);
    if (status != HTTPTIME_OK) {
        char message[256];
        httptime_error_message(message, sizeof message);
        fprintf(stderr, "query: %s: %s\n", httptime_status_name(status), message);
        return 1;
    }
    printf("%+.6f s, bounds %+.6f to %+.6f (server - local: positive when the local clock is slow)\n",
           (double)m.offset_ns / 1e9, (double)m.lower_ns / 1e9, (double)m.upper_ns / 1e9);
    return 0;
}

/* The same with libcurl: one HEAD. Its Date is not read. */
#include <curl/curl.h>

#include <stdio.h>
#include <sys/resource.h>

int main(int argc, char **argv)
{
    struct rusage usage;
    if (argc != 2 || curl_global_init(CURL_GLOBAL_DEFAULT) != 0)
        return 2;
    CURL *curl = curl_easy_init();
    curl_easy_setopt(curl, CURLOPT_URL, argv[1]);
    curl_easy_setopt(curl, CURLOPT_NOBODY, 1L);
    if (curl_easy_perform(curl) != CURLE_OK)
        return 1;
    curl_easy_cleanup(curl);
    curl_global_cleanup();
    getrusage(RUSAGE_SELF, &usage);
    printf("%ld\n", usage.ru_maxrss);
    return 0;
}

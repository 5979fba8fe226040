/* NVIDIA's management library as far as evidence is collected by it. What a GPU would say, whoever
 * listens on SOCKET says; the faults are compiled in. */
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#ifndef COUNT
#define COUNT 1
#endif
#ifndef ARCHITECTURE
#define ARCHITECTURE 9
#endif

struct report {
    unsigned is_cec_present, size, cec_size;
    unsigned char nonce[0x20], report[0x2000], cec_report[0x1000];
};

struct certificate {
    unsigned size, attestation_size;
    unsigned char chain[0x1000], attestation_chain[0x1400];
};

/* Says one byte of what is wanted, one of whom, and a nonce; hears the answer to its end. */
static unsigned ask(char what, void *device, const unsigned char *nonce, unsigned char *answer,
                    unsigned room) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    unsigned char question[34] = {what, (unsigned char)((uintptr_t)device - 1)};
    int peer = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    unsigned len = 0;
    ssize_t got;
    strncpy(address.sun_path, SOCKET, sizeof address.sun_path - 1);
    if (nonce)
        memcpy(question + 2, nonce, 32);
    if (connect(peer, (struct sockaddr *)&address, sizeof address) == 0 &&
        write(peer, question, sizeof question) == sizeof question)
        while (len < room && (got = read(peer, answer + len, room - len)) > 0)
            len += (unsigned)got;
    close(peer);
    return len;
}

static int said(char *to, unsigned room, const char *text) {
    strncpy(to, text, room);
    return 0;
}

int nvmlInit_v2(void) {
#ifdef INIT
    return INIT;
#else
    return 0;
#endif
}

int nvmlShutdown(void) { return 0; }

int nvmlSystemGetDriverVersion(char *version, unsigned room) {
    return said(version, room, "550.90.07");
}

int nvmlDeviceGetCount_v2(unsigned *count) {
    *count = COUNT;
    return 0;
}

int nvmlDeviceGetHandleByIndex_v2(unsigned index, void **device) {
    *device = (void *)(uintptr_t)(index + 1);
    return 0;
}

int nvmlDeviceGetUUID(void *device, char *uuid, unsigned room) {
    (void)device;
    return said(uuid, room, "GPU-00000000-0000-0000-0000-000000000001");
}

int nvmlDeviceGetArchitecture(void *device, unsigned *architecture) {
    (void)device;
    *architecture = ARCHITECTURE;
    return 0;
}

#ifndef WITHOUT_REPORT
int nvmlDeviceGetConfComputeGpuAttestationReport(void *device, struct report *report) {
#ifdef REPORT
    return REPORT;
#endif
    report->size = ask('r', device, report->nonce, report->report, sizeof report->report);
#ifdef REPORT_SIZE
    report->size = REPORT_SIZE;
#endif
    return 0;
}
#endif

int nvmlDeviceGetConfComputeGpuCertificate(void *device, struct certificate *certificate) {
    certificate->attestation_size = ask('c', device, 0, certificate->attestation_chain,
                                        sizeof certificate->attestation_chain);
#ifdef CHAIN_SIZE
    certificate->attestation_size = CHAIN_SIZE;
#endif
    return 0;
}

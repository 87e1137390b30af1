/* The leases of one channel: producers, the coordinator and consumers, as in src/runtime/channel_leases, out_channel,
 * in_channel and grant_window. README.md names the invariants and what is left out.
 *
 * A process takes all that has come in one step and keeps house after it, as Reactor::poll does. What a consumer has
 * received but not worked through stays in the way to it.
 *
 * CAPACITY, PAYLOADS_0, PAYLOADS_1: of the channel, of the two producers.
 * ROOM: in the coordinator's outbox to a producer, in frames.
 * RESTS: 1: one source may fall silent until the other stream has ended.
 * WORKING: 1: only the first consumer takes part.
 * PAUSE: the coordinator may stop for ever, at any moment.
 * MUTATION: a defect that the check has to find. */

#define none 0
#define no_recall 1           /* the coordinator never recalls */
#define grant_twice 2         /* a consumer grants more than it accounts for */
#define lease_twice 3         /* the coordinator keeps what it leases */
#define lost_give_back 4      /* a producer drops what it is to give back */
#define forget_question 5     /* the coordinator forgets a question that it cannot answer at once */
#define unused_give_back 6    /* a producer follows a recall before it has used what it waited for */
#define ask_twice 7           /* a producer asks again before it has been answered */
#define coordinated_ticket 8  /* a ticket needs the coordinator */
#define early_end 9           /* a producer ends with a payload left */
#ifndef MUTATION
#define MUTATION none
#endif

#define PRODUCERS 2
#define CONSUMERS 2
#ifndef WORKING
#define WORKING CONSUMERS
#endif
#define payloads_of(p) (p == 0 -> PAYLOADS_0 : PAYLOADS_1)
#define edge(p, c) ((p) * CONSUMERS + (c))

mtype = { ask, give_back, lease, recall, ticket, end };

/* As long as the credits and one question make frames: nobody may ever wait for the coordinator to read. */
chan to_coordinator[PRODUCERS] = [1 + CONSUMERS * CAPACITY] of { mtype, byte, byte }; /* consumer, how many */
chan grants[CONSUMERS] = [CAPACITY] of { byte };
/* Short: the coordinator meets full ones. */
chan to_producer[PRODUCERS] = [ROOM] of { mtype, byte, byte, bool }; /* consumer, how many, whether it is the last */
chan down[PRODUCERS * CONSUMERS] = [CAPACITY + 1] of { mtype, byte }; /* number on the edge; END: their count */

byte under_way[CONSUMERS]; /* of a consumer: granted and not given back since */
byte free[CONSUMERS];      /* of the coordinator */
chan questions = [PRODUCERS] of { byte, byte };
byte held[PRODUCERS * CONSUMERS]; /* of the producers: credits */
byte to_send[PRODUCERS];
byte sent[PRODUCERS * CONSUMERS];
bool asked[PRODUCERS];
bool recalled[PRODUCERS];
bool ended[PRODUCERS];
bool rests[PRODUCERS]; /* its source has nothing to send for now */
byte done = 0;         /* consumers that have all of every stream */
bool halted = false;   /* the coordinator, for ever */

/* Where the credits of a consumer are that nobody has: for the accounts alone. */
byte granted[CONSUMERS], leased[CONSUMERS], given_back[CONSUMERS], travelling[CONSUMERS];

#define accounted(c)                                                                                                   \
    (under_way[c] == granted[c] + free[c] + leased[c] + held[edge(0, c)] + held[edge(1, c)] + given_back[c] +          \
                         travelling[c])
/* No credit is lost or made, and what is under way never exceeds what was granted, nor that the capacity. */
#define check_credits(c)                                                                                               \
    assert(accounted(c));                                                                                              \
    assert(under_way[c] <= CAPACITY)

/* ---- producers ---- */

#define leases_of(p) (held[edge(p, 0)] + held[edge(p, 1)])
#define wants(p) (to_send[p] > 0 && !rests[p])
/* One that waits for a credit uses it before it follows a recall. */
#define may_give_back(p) (!wants(p) || used || MUTATION == unused_give_back)

/* How much is asked for depends on times: any size from one to the capacity that halving and doubling reach. */
inline ask_for_leases(ran_dry) {
    if
    :: true -> skip
    :: batch > 1 -> batch = batch / 2
    :: ran_dry && 2 * batch <= CAPACITY -> batch = 2 * batch
    fi;
    asked[p] = true;
    assert(nfull(to_coordinator[p]));
    to_coordinator[p] ! ask(0, batch)
}

inline give_back_one(consumer) {
    if
    :: held[edge(p, consumer)] > 0 ->
       if
       :: MUTATION != lost_give_back ->
          assert(nfull(to_coordinator[p]));
          given_back[consumer] = given_back[consumer] + held[edge(p, consumer)];
          to_coordinator[p] ! give_back(consumer, held[edge(p, consumer)])
       :: MUTATION == lost_give_back -> skip
       fi;
       held[edge(p, consumer)] = 0;
       check_credits(consumer)
    :: held[edge(p, consumer)] == 0 -> skip
    fi
}

inline give_back_all() {
    recalled[p] = false;
    used = false;
    batch = (batch > 1 -> batch / 2 : 1);
    give_back_one(0);
    give_back_one(1)
}

inline take_leases() {
    do
    :: to_producer[p] ? lease(c, n, last) ->
       leased[c] = leased[c] - n;
       held[edge(p, c)] = held[edge(p, c)] + n;
       assert(held[edge(p, c)] <= CAPACITY);
       asked[p] = asked[p] && !last;
       check_credits(c)
    :: to_producer[p] ? recall(_, _, _) -> recalled[p] = true
    :: empty(to_producer[p]) -> break
    od;
    c = 0; n = 0; last = false
}

inline keep_house() {
    if
    :: (recalled[p] && may_give_back(p)) || (ended[p] && leases_of(p) > 0) ->
       give_back_all()
    :: else -> skip
    fi
}

proctype producer(byte p) {
    byte batch = 1;
    bool used = true; /* has sent since it waited or gave back */
    bool rested = false;
    byte c, n;
    bool last;

    do
    /* Who has waited for a credit sends before it looks for more. */
    :: atomic { nempty(to_producer[p]) && !(wants(p) && leases_of(p) > 0 && !used) -> take_leases(); keep_house() }
    :: atomic { recalled[p] && may_give_back(p) -> give_back_all() }

    :: wants(p) && leases_of(p) > 0 && (MUTATION != coordinated_ticket || !halted) ->
progress_sent:
       atomic {
           /* A frame may have come in between, but it is the same thread that takes it: nothing has changed. */
           if
           :: held[edge(p, 0)] > 0 -> c = 0
           :: held[edge(p, 1)] > 0 -> c = 1
           fi;
           held[edge(p, c)]--;
           travelling[c]++;
           assert(travelling[c] <= CAPACITY && nfull(down[edge(p, c)]));
           down[edge(p, c)] ! ticket(sent[edge(p, c)]);
           sent[edge(p, c)]++;
           to_send[p]--;
           used = true;
           check_credits(c);
           c = 0;
           if
           :: !asked[p] && leases_of(p) < batch / 2 -> ask_for_leases(false)
           :: else -> skip
           fi
       }
    :: atomic {
           wants(p) && leases_of(p) == 0 && (!asked[p] || (MUTATION == ask_twice && nfull(to_coordinator[p]))) ->
           used = false;
           ask_for_leases(true)
       }

    :: atomic { RESTS && p == 0 && !rested && to_send[p] > 0 -> rests[p] = true; rested = true }
    :: atomic { p == 0 && rests[p] && ended[1] -> rests[p] = false }

    :: atomic {
           !ended[p] && (to_send[p] == 0 || (MUTATION == early_end && to_send[p] == 1)) ->
           ended[p] = true;
           down[edge(p, 0)] ! end(sent[edge(p, 0)]);
           down[edge(p, 1)] ! end(sent[edge(p, 1)]);
           keep_house()
       }
    :: atomic { done == WORKING -> assert(to_send[p] == 0); break }
    od
}

/* ---- the coordinator ---- */

#define free_credits (free[0] + free[1])
#define something_to_read                                                                                             \
    (nempty(to_coordinator[0]) || nempty(to_coordinator[1]) || nempty(grants[0]) || nempty(grants[1]))
#define nothing_to_read (empty(to_coordinator[0]) && empty(to_coordinator[1]) && empty(grants[0]) && empty(grants[1]))

inline add_free() {
    free[c] = free[c] + n;
    assert(free[c] <= CAPACITY);
    check_credits(c)
}

inline take_from_producer() {
    do
    :: to_coordinator[p] ? ask(_, n) ->
       if
       :: MUTATION != forget_question || free_credits > 0 ->
          assert(!waits[p]); /* no second question */
          waits[p] = true;
          questions ! p, n
       :: else -> skip
       fi
    :: to_coordinator[p] ? give_back(c, n) -> given_back[c] = given_back[c] - n; add_free()
    :: empty(to_coordinator[p]) -> break
    od
}

inline take_from_consumer(consumer) {
    do
    :: grants[consumer] ? n -> c = consumer; granted[c] = granted[c] - n; add_free()
    :: empty(grants[consumer]) -> break
    od
}

inline lease_out(consumer) {
    if
    :: share[consumer] > 0 && nfull(to_producer[p]) ->
       answered = (consumer == 1 || share[1] == 0);
       to_producer[p] ! lease(consumer, share[consumer], answered);
       leased[consumer] = leased[consumer] + share[consumer];
       if
       :: MUTATION == lease_twice -> free[consumer] = free[consumer] + share[consumer]
       :: MUTATION != lease_twice -> skip
       fi;
       check_credits(consumer)
    :: share[consumer] > 0 && full(to_producer[p]) ->
       answered = false;
       free[consumer] = free[consumer] + share[consumer]
    :: share[consumer] == 0 -> skip
    fi;
    share[consumer] = 0
}

/* A fair share of what is there, from the consumers with most. What does not go out stays. */
inline answer() {
    left = (free_credits + waiting - 1) / waiting;
    left = (n < left -> n : left);
    do
    :: left > 0 ->
       c = (free[1] > free[0] -> 1 : 0);
       free[c]--;
       share[c]++;
       left--
    :: left == 0 -> break
    od;
    answered = false;
    lease_out(0);
    lease_out(1)
}

inline serve() {
    waiting = len(questions);
    do
    :: waiting > 0 ->
       questions ? p, n;
       answered = false;
       if
       :: free_credits > 0 -> answer()
       :: free_credits == 0 -> skip
       fi;
       if
       :: !answered -> questions ! p, n
       :: answered -> waits[p] = false
       fi;
       waiting--
    :: waiting == 0 -> break
    od;
    p = 0; c = 0; n = 0; answered = false
}

inline tell_recall(which) {
    if
    :: nfull(to_producer[which]) -> to_producer[which] ! recall(0, 0, false)
    :: full(to_producer[which]) -> skip
    fi
}

active proctype coordinator() {
    byte p, c, n, left, waiting, share[CONSUMERS];
    bool answered, waits[PRODUCERS];

    do
    :: atomic {
           something_to_read ->
           p = 0; take_from_producer();
           p = 1; take_from_producer();
           take_from_consumer(0);
           take_from_consumer(1);
           serve()
       }
    :: atomic { nempty(questions) && free_credits > 0 && (nfull(to_producer[0]) || nfull(to_producer[1])) -> serve() }
    /* When a question has waited for long; from all. Who takes no more messages is not told. */
    :: atomic {
           nempty(questions) && nothing_to_read && free_credits == 0 && MUTATION != no_recall &&
               (empty(to_producer[0]) || empty(to_producer[1])) ->
           tell_recall(0);
           tell_recall(1)
       }
#ifdef PAUSE
    :: halted = true; break
#endif
    :: done == WORKING -> break
    od
}

/* ---- consumers ---- */

/* GrantWindow, and a quarter of the window as the least that is granted. */
inline grant_more() {
    if
    :: under_way[c] < window && 4 * (window - under_way[c]) >= window ->
       n = window - under_way[c];
       under_way[c] = under_way[c] + n;
       granted[c] = granted[c] + n;
       assert(nfull(grants[c]));
       grants[c] ! n;
       if
       :: MUTATION == grant_twice && nfull(grants[c]) -> granted[c] = granted[c] + n; grants[c] ! n
       :: MUTATION == grant_twice && full(grants[c]) -> skip
       :: MUTATION != grant_twice -> skip
       fi;
       check_credits(c);
       n = 0
    :: else -> skip
    fi
}

/* How long the operator took for it decides about the window. The second consumer is a slow one. */
inline work_through() {
    assert(under_way[c] > 0); /* no payload without a credit */
    assert(n == received[p]); /* in order, none lost, none twice */
    received[p]++;
    travelling[c]--;
    under_way[c]--;
    check_credits(c);
    if
    :: window = 1
    :: CAPACITY > 1 && c == 0 -> window = CAPACITY
    fi;
    grant_more()
}

proctype consumer(byte c) {
    byte window = 1; /* nobody knows yet how fast it is */
    byte received[PRODUCERS];
    byte ends = 0;
    byte p, n;

    do
    :: atomic { down[edge(0, c)] ? ticket(n) -> p = 0; work_through(); n = 0 }
    :: atomic { down[edge(1, c)] ? ticket(n) -> p = 1; work_through(); p = 0; n = 0 }
    :: atomic { down[edge(0, c)] ? end(n) -> assert(n == received[0]); ends++; n = 0 }
    :: atomic { down[edge(1, c)] ? end(n) -> assert(n == received[1]); ends++; n = 0 }
    :: atomic {
           empty(down[edge(0, c)]) && empty(down[edge(1, c)]) && ends < PRODUCERS && under_way[c] < window ->
           grant_more()
       }
    :: atomic { ends == PRODUCERS -> done++; break }
    od
}

init {
    atomic {
        to_send[0] = PAYLOADS_0;
        to_send[1] = PAYLOADS_1;
        run producer(0);
        run producer(1);
        run consumer(0);
        if
        :: WORKING == 2 -> run consumer(1)
        :: WORKING == 1 -> skip
        fi
    }
}

#ifdef PAUSE
/* When nothing moves any more although the coordinator has halted, only those wait that have used up their leases. */
active proctype watch() {
    do
    :: atomic {
           timeout ->
           assert(halted);
           assert(empty(down[0]) && empty(down[2]) && (WORKING == 1 || (empty(down[1]) && empty(down[3]))));
           assert(ended[0] || leases_of(0) == 0 || (rests[0] && !ended[1]));
           assert(ended[1] || leases_of(1) == 0);
           break
       }
    :: done == WORKING -> break
    od
}
#endif

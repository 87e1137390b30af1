/* One edge of a channel: tickets, credits and settlements, the end of the stream and its acknowledgement, as in
 * src/runtime/out_channel and in_channel. README.md names the invariants and what is left out.
 *
 * The producer has its credits when the run starts, and each comes back in the frames that settle. The only producer of
 * a leased channel is granted its credits in the same frames; here its consumer's window is the capacity.
 *
 * CAPACITY, PAYLOADS, ROOM (frames in an outbox), MUTATION: a defect that the check has to find. */

#define none 0
#define settle_early 1      /* a run of settlements also names the payload after it */
#define settle_twice 2      /* what was settled out of order is said twice */
#define forget_held_back 3  /* what was settled out of order is forgotten */
#define early_ack 4         /* END is acknowledged before all is settled */
#define early_end 5         /* END overtakes a ticket */
#define lost_credit 6       /* a credit is not sent */
#define late_credit 7       /* credits wait for the settlement */
#ifndef MUTATION
#define MUTATION none
#endif

mtype = { ticket, end, returns, end_ack };
chan down = [ROOM] of { mtype, byte };           /* number on the edge; END: how many */
chan up = [ROOM] of { mtype, byte, byte, byte }; /* returns: first, settled, credits; end_ack: how many */

byte credits;
byte sent = 0;
byte oldest = 0;
bool is_settled[PAYLOADS + 1]; /* as the producer has been told */
bool is_free[PAYLOADS + 1];    /* as the consumer knows: it has let go of it */
byte received = 0;
byte unfinished = 0;  /* received and not worked through: hold a credit each */
byte credits_unsaid = 0;
byte credits_under_way = 0; /* in frames, for the account alone */
bool producer_done = false, consumer_done = false;

/* No credit is lost or made. */
#define check_credits() assert(credits + len_of_tickets + unfinished + credits_unsaid + credits_under_way == CAPACITY)
byte len_of_tickets = 0;

active proctype producer() {
    bool ended = false, acknowledged = false;
    byte first, count, given;

    credits = CAPACITY;
    do
    :: atomic {
           up ? returns(first, count, given) ->
           credits_under_way = credits_under_way - given;
           credits = credits + given;
           assert(credits <= CAPACITY); /* not more than it was granted */
           assert(count == 0 || (first >= oldest && first + count <= sent)); /* only what it has sent */
           do
           :: count > 0 ->
              assert(!is_settled[first]);          /* not twice */
              assert(is_free[first]);              /* not before nobody has it: its memory is used again */
              is_settled[first] = true;
              first++;
              count--
           :: count == 0 -> break
           od;
           do
           :: oldest < sent && is_settled[oldest] -> oldest++
           :: !(oldest < sent && is_settled[oldest]) -> break
           od;
           check_credits();
           first = 0; given = 0
       }
    :: atomic {
           up ? end_ack(count, _, _) ->
           assert(ended && count == sent && oldest == sent);
           acknowledged = true;
           count = 0
       }
    :: atomic {
           sent < PAYLOADS && credits > 0 && !ended && nfull(down) ->
           credits--;
           len_of_tickets++;
           down ! ticket(sent);
           sent++;
           check_credits()
       }
    :: atomic {
           !ended && nfull(down) && (sent == PAYLOADS || (MUTATION == early_end && sent == PAYLOADS - 1)) ->
           ended = true;
           down ! end(PAYLOADS)
       }
    :: atomic { ended && acknowledged && oldest == sent -> producer_done = true; break }
    od
}

active proctype consumer() {
    bool ended = false;
    /* One run of settlements is gathered; what does not continue it is kept in the order in which it was settled. */
    byte run_first = 0, run_count = 0;
    chan out_of_order = [PAYLOADS] of { byte };
    bool in_hand[PAYLOADS + 1]; /* of the operator, or of what was made of it */
    byte settled = 0;
    byte n, i, first, count;

    do
    :: atomic {
           down ? ticket(n) ->
           assert(n == received && !ended); /* in order, none lost, none twice, none after END */
           len_of_tickets--;
           received++;
           unfinished++;
           assert(unfinished <= CAPACITY);
           in_hand[n] = true;
           check_credits();
           n = 0
       }
    :: atomic { down ? end(n) -> assert(n == received); ended = true; n = 0 }

    /* The operator returns from its call: a credit. */
    :: atomic {
           unfinished > 0 && (MUTATION != late_credit || settled == received) ->
           unfinished--;
           if
           :: MUTATION != lost_credit -> credits_unsaid++
           :: MUTATION == lost_credit -> skip
           fi
       }
    /* Nobody holds a payload any more, in any order; one that the operator is at is held by it. */
    :: atomic {
           settled < received - unfinished ->
           if
           :: in_hand[0] && 0 < received - unfinished -> n = 0
           :: PAYLOADS > 1 && in_hand[1] && 1 < received - unfinished -> n = 1
           :: PAYLOADS > 2 && in_hand[2 % (PAYLOADS + 1)] && 2 < received - unfinished -> n = 2
           :: PAYLOADS > 3 && in_hand[3 % (PAYLOADS + 1)] && 3 < received - unfinished -> n = 3
           fi;
           in_hand[n] = false;
           is_free[n] = true;
           settled++;
           if
           :: run_count != 0 && run_first + run_count == n -> run_count++
           :: run_count == 0 -> run_first = n; run_count = 1
           :: run_count != 0 && run_first + run_count != n -> out_of_order ! n
           fi;
           n = 0
       }
    /* flush(): a frame, and the next run. */
    :: atomic {
           (run_count != 0 || credits_unsaid != 0) && nfull(up) ->
           first = run_first; count = run_count;
           run_first = 0; run_count = 0;
           do
           :: nempty(out_of_order) && (run_count == 0 || out_of_order ? [eval(run_first + run_count)]) ->
              out_of_order ? n;
              if
              :: run_count == 0 -> run_first = n
              :: else -> skip
              fi;
              run_count++;
              if
              :: MUTATION == settle_twice -> out_of_order ! n; break
              :: MUTATION == forget_held_back -> run_count = 0
              :: else -> skip
              fi
           :: empty(out_of_order) -> break
           :: nempty(out_of_order) && run_count != 0 && !(out_of_order ? [eval(run_first + run_count)]) -> break
           od;
           if
           :: MUTATION == settle_early && count != 0 -> count++
           :: else -> skip
           fi;
           credits_under_way = credits_under_way + credits_unsaid;
           up ! returns(first, count, credits_unsaid);
           credits_unsaid = 0;
           n = 0; first = 0; count = 0
       }
    :: atomic {
           ended && unfinished == 0 && (settled == received || MUTATION == early_ack) && run_count == 0 &&
               credits_unsaid == 0 && nfull(up) ->
           up ! end_ack(received, 0, 0);
           consumer_done = true;
           break
       }
    od
}

import { type Dispatch, type RefObject, useCallback } from "react";
import { flushSync } from "react-dom";

import type { StripAction } from "@/lib/strip";

/**
 * A dispatch for what takes a photograph's button away, or selects another photograph: afterwards the focus is on the button of
 * the selected one, `current`. `onEmpty`: the last one was removed, the focus has no place here any more.
 */
export function useFocusedDispatch(
  current: RefObject<HTMLButtonElement | null>,
  dispatch: Dispatch<StripAction>,
  onEmpty: () => void,
): Dispatch<StripAction> {
  return useCallback(
    (action) => {
      flushSync(() => dispatch(action));
      if (current.current) current.current.focus();
      else onEmpty();
    },
    [current, dispatch, onEmpty],
  );
}
